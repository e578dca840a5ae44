// Oracle answers what BuildKit itself makes of a Dockerfile.
//
// It reads one JSON request a line on stdin and writes one JSON answer a line
// on stdout, in the same order. Nothing is built and nothing is fetched: the
// frontend runs against a client whose images, contexts and commits are stubs.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
)

// Request is one question; Mode says which of the fields count.
type Request struct {
	ID   string `json:"id,omitempty"`
	Mode string `json:"mode,omitempty"`

	// build
	Dockerfile []byte                       `json:"dockerfile,omitempty"` // base64
	Opts       map[string]string            `json:"opts,omitempty"`
	Session    string                       `json:"session,omitempty"`
	Stub       string                       `json:"stub,omitempty"`
	Images     map[string]string            `json:"images,omitempty"` // normalised name -> stub
	Files      map[string]map[string]string `json:"files,omitempty"`  // local name -> path -> text
	Archive    bool                         `json:"archive,omitempty"`
	Workers    []string                     `json:"workers,omitempty"`
	Raw        bool                         `json:"raw,omitempty"`

	// expand
	Words  []string          `json:"words,omitempty"`
	Env    map[string]string `json:"env,omitempty"`
	Escape string            `json:"escape,omitempty"`
	Flags  []string          `json:"flags,omitempty"`

	// ignore
	Patterns []byte   `json:"patterns,omitempty"` // the file, base64
	Paths    []string `json:"paths,omitempty"`

	// reference, git
	Names []string `json:"names,omitempty"`
}

// Failure is an error and the lines it blames.
type Failure struct {
	Message string    `json:"message"`
	Ranges  [][][]int `json:"ranges,omitempty"` // per source: start line, character, end line, character
	Panic   bool      `json:"panic,omitempty"`
}

// Answer is what BuildKit said.
type Answer struct {
	ID    string   `json:"id,omitempty"`
	Error *Failure `json:"error,omitempty"`

	Results  []BuildResult     `json:"results,omitempty"`
	Warnings []Warning         `json:"warnings,omitempty"`
	Images   []ResolvedImage   `json:"images,omitempty"`
	Loads    []Load            `json:"loads,omitempty"`
	Forward  map[string]string `json:"forward,omitempty"`
	Response map[string]string `json:"response,omitempty"`

	Parsed *ParsedFile   `json:"parsed,omitempty"`
	Words  []Expanded    `json:"words,omitempty"`
	Ignore *IgnoreAnswer `json:"ignore,omitempty"`
	Names  []ParsedName  `json:"names,omitempty"`
	Git    []ParsedGit   `json:"git,omitempty"`
}

func answer(req Request) (ans Answer) {
	defer func() {
		if r := recover(); r != nil {
			debug.PrintStack()
			ans = Answer{Error: &Failure{Message: fmt.Sprint(r), Panic: true}}
		}
		ans.ID = req.ID
	}()
	switch req.Mode {
	case "", "build":
		return build(req)
	case "parse":
		return parse(req)
	case "expand":
		return expand(req)
	case "ignore":
		return ignore(req)
	case "reference":
		return names(req)
	case "git":
		return git(req)
	}
	return Answer{Error: &Failure{Message: "unknown mode " + req.Mode}}
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := bufio.NewWriter(os.Stdout)
	dec := json.NewDecoder(in)
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)

	type slot chan Answer
	queue := make(chan slot, 8)
	var wg sync.WaitGroup
	wg.Go(func() {
		for s := range queue {
			if err := enc.Encode(<-s); err != nil {
				fmt.Fprintln(os.Stderr, "oracle:", err)
				os.Exit(1)
			}
			// A caller that asks one question at a time waits for this.
			out.Flush()
		}
	})
	for dec.More() {
		var req Request
		if err := dec.Decode(&req); err != nil {
			fmt.Fprintln(os.Stderr, "oracle: unreadable request:", err)
			os.Exit(2)
		}
		s := make(slot, 1)
		queue <- s
		go func() { s <- answer(req) }()
	}
	close(queue)
	wg.Wait()
}
