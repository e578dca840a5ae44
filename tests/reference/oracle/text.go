package main

import (
	"bytes"
	"slices"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// ParsedFile is the parser's tree, one entry an instruction.
type ParsedFile struct {
	Escape   string       `json:"escape"`
	Nodes    []ParsedNode `json:"nodes"`
	Warnings []string     `json:"warnings,omitempty"`
}

// ParsedNode is one instruction; Words is the chain of its arguments.
type ParsedNode struct {
	Name     string          `json:"name"`
	Original string          `json:"original"`
	Start    int             `json:"start"`
	End      int             `json:"end"`
	Flags    []string        `json:"flags,omitempty"`
	Words    []string        `json:"words,omitempty"`
	JSON     bool            `json:"json,omitempty"`
	Heredocs []ParsedHeredoc `json:"heredocs,omitempty"`
	Comments []string        `json:"comments,omitempty"`
	Child    *ParsedNode     `json:"child,omitempty"`
}

// ParsedHeredoc is one here-document of an instruction.
type ParsedHeredoc struct {
	Name    string `json:"name"`
	FD      uint   `json:"fd"`
	Expand  bool   `json:"expand"`
	Chomp   bool   `json:"chomp"`
	Content string `json:"content"`
}

func parse(req Request) Answer {
	res, err := parser.Parse(bytes.NewReader(req.Dockerfile))
	if err != nil {
		return Answer{Error: failureOf(err)}
	}
	out := &ParsedFile{Escape: string(res.EscapeToken), Nodes: []ParsedNode{}}
	for _, w := range res.Warnings {
		out.Warnings = append(out.Warnings, w.Short)
	}
	for _, n := range res.AST.Children {
		out.Nodes = append(out.Nodes, parsedNode(n))
	}
	return Answer{Parsed: out}
}

func parsedNode(n *parser.Node) ParsedNode {
	p := ParsedNode{
		Name: n.Value, Original: n.Original, Start: n.StartLine, End: n.EndLine,
		Flags: n.Flags, JSON: n.Attributes["json"], Comments: n.PrevComment,
	}
	for _, h := range n.Heredocs {
		p.Heredocs = append(p.Heredocs, ParsedHeredoc{h.Name, h.FileDescriptor, h.Expand, h.Chomp, h.Content})
	}
	for w := n.Next; w != nil; w = w.Next {
		if len(w.Children) > 0 {
			child := parsedNode(w.Children[0])
			p.Child = &child
			continue
		}
		p.Words = append(p.Words, w.Value)
	}
	return p
}

// Expanded is one word after variable expansion.
type Expanded struct {
	Result    string   `json:"result"`
	Words     []string `json:"words,omitempty"`
	Unmatched []string `json:"unmatched,omitempty"`
	Error     string   `json:"error,omitempty"`
}

func expand(req Request) Answer {
	escape := '\\'
	if req.Escape != "" {
		escape = []rune(req.Escape)[0]
	}
	var env []string
	for k, v := range req.Env {
		env = append(env, k+"="+v)
	}
	slices.Sort(env)
	lex := shell.NewLex(escape)
	lex.RawQuotes = slices.Contains(req.Flags, "raw-quotes")
	lex.RawEscapes = slices.Contains(req.Flags, "raw-escapes")
	lex.SkipProcessQuotes = slices.Contains(req.Flags, "skip-quotes")
	lex.SkipUnsetEnv = slices.Contains(req.Flags, "skip-unset")
	var ans Answer
	for _, w := range req.Words {
		var e Expanded
		r, err := lex.ProcessWordWithMatches(w, shell.EnvsFromSlice(env))
		if err != nil {
			e.Error = err.Error()
		} else {
			e.Result = r.Result
			for k := range r.Unmatched {
				e.Unmatched = append(e.Unmatched, k)
			}
			slices.Sort(e.Unmatched)
			e.Words, err = lex.ProcessWords(w, shell.EnvsFromSlice(env))
			if err != nil {
				e.Error = err.Error()
			}
		}
		ans.Words = append(ans.Words, e)
	}
	return ans
}

// IgnoreAnswer is what an ignore file leaves out.
type IgnoreAnswer struct {
	Patterns []string `json:"patterns"`
	Matches  []bool   `json:"matches"`
}

func ignore(req Request) Answer {
	patterns, err := ignorefile.ReadAll(bytes.NewReader(req.Patterns))
	if err != nil {
		return Answer{Error: &Failure{Message: err.Error()}}
	}
	pm, err := patternmatcher.New(patterns)
	if err != nil {
		return Answer{Error: &Failure{Message: err.Error()}}
	}
	out := &IgnoreAnswer{Patterns: patterns, Matches: []bool{}}
	for _, p := range req.Paths {
		m, err := pm.MatchesOrParentMatches(p)
		if err != nil {
			return Answer{Error: &Failure{Message: err.Error()}}
		}
		out.Matches = append(out.Matches, m)
	}
	return Answer{Ignore: out}
}

// ParsedName is an image name in its spellings.
type ParsedName struct {
	Name     string `json:"name"`
	Tagged   string `json:"tagged,omitempty"`
	Familiar string `json:"familiar,omitempty"`
	Error    string `json:"error,omitempty"`
}

func names(req Request) (ans Answer) {
	for _, n := range req.Names {
		named, err := reference.ParseNormalizedNamed(n)
		if err != nil {
			ans.Names = append(ans.Names, ParsedName{Error: err.Error()})
			continue
		}
		ans.Names = append(ans.Names, ParsedName{
			Name:     named.String(),
			Tagged:   reference.TagNameOnly(named).String(),
			Familiar: reference.FamiliarString(named),
		})
	}
	return ans
}

// ParsedGit is a git reference taken apart.
type ParsedGit struct {
	IsGit bool              `json:"is_git"`
	Ref   *dfgitutil.GitRef `json:"ref,omitempty"`
	Error string            `json:"error,omitempty"`
}

func git(req Request) (ans Answer) {
	for _, n := range req.Names {
		ref, ok, err := dfgitutil.ParseGitRef(n)
		p := ParsedGit{IsGit: ok, Ref: ref}
		if err != nil {
			p.Error = err.Error()
		}
		ans.Git = append(ans.Git, p)
	}
	return ans
}
