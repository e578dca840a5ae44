package main

import (
	"bytes"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/dockerfile/shell"
	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// ParsedFile is the parser's tree, one entry an instruction, and what the
// instructions make of it.
type ParsedFile struct {
	Escape   string          `json:"escape"`
	Nodes    []ParsedNode    `json:"nodes"`
	Warnings []string        `json:"warnings,omitempty"`
	Args     []ParsedCommand `json:"args,omitempty"`
	Stages   []ParsedStage   `json:"stages,omitempty"`
}

// ParsedStage is a FROM with what follows it.
type ParsedStage struct {
	Name     string          `json:"name"`
	Base     string          `json:"base"`
	Platform string          `json:"platform"`
	Doc      string          `json:"doc"`
	Code     string          `json:"code"`
	Lines    []int           `json:"lines"`
	Comments []string        `json:"comments,omitempty"`
	Commands []ParsedCommand `json:"commands,omitempty"`
}

// ParsedCommand is an instruction as its type prints it.
type ParsedCommand struct {
	Name     string   `json:"name"`
	Code     string   `json:"code"`
	Lines    []int    `json:"lines"`
	Comments []string `json:"comments,omitempty"`
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
	stages, args, err := instructions.Parse(res.AST, linter.New(&linter.Config{}))
	if err != nil {
		return Answer{Error: failureOf(err)}
	}
	if len(stages) == 0 {
		return Answer{Error: &Failure{Message: "no stages"}}
	}
	for _, a := range args {
		out.Args = append(out.Args, parsedCommand(&a))
	}
	for _, st := range stages {
		p := ParsedStage{
			Name: st.Name, Base: st.BaseName, Platform: st.Platform, Doc: st.DocComment, Code: st.SourceCode,
			Lines: linesOf(st.Location), Comments: st.Comments,
		}
		for _, c := range st.Commands {
			p.Commands = append(p.Commands, parsedCommand(c))
		}
		out.Stages = append(out.Stages, p)
	}
	return Answer{Parsed: out}
}

func parsedCommand(c instructions.Command) ParsedCommand {
	code := ""
	if s, ok := c.(fmt.Stringer); ok {
		code = s.String()
	}
	return ParsedCommand{Name: c.Name(), Code: code, Lines: linesOf(c.Location()), Comments: c.Comments()}
}

// linesOf is the first and the last line of a location.
func linesOf(location []parser.Range) []int {
	if len(location) == 0 {
		return nil
	}
	return []int{location[0].Start.Line, location[len(location)-1].End.Line}
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
	// Walked is the same question as a file transfer puts it: directory by directory.
	Walked []bool `json:"walked"`
}

// walk descends to a path as a file transfer does.
func walk(pm *patternmatcher.PatternMatcher, name string) (bool, error) {
	var info patternmatcher.MatchInfo
	var matched bool
	for i, part := range strings.Split(name, "/") {
		dir := part
		if i > 0 {
			dir = path.Join(strings.Join(strings.Split(name, "/")[:i], "/"), part)
		}
		var err error
		matched, info, err = pm.MatchesUsingParentResults(dir, info)
		if err != nil {
			return false, err
		}
	}
	return matched, nil
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
		w, err := walk(pm, p)
		if err != nil {
			return Answer{Error: &Failure{Message: err.Error()}}
		}
		out.Matches = append(out.Matches, m)
		out.Walked = append(out.Walked, w)
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
