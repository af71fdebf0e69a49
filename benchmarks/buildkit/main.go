// What BuildKit makes of Dockerfiles: file names on stdin, one JSON object a line on stdout.
//
// Built inside a checkout of BuildKit, whose own packages it calls:
//
//	mkdir cmd/reference && cp main.go cmd/reference/ && go build -mod=vendor -o reference ./cmd/reference
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"time"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	digest "github.com/opencontainers/go-digest"
)

const config = `{"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"]}}`

type images struct{}

func (images) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	return ref, digest.FromString(ref), []byte(config), nil
}

type answer struct {
	Error    string  `json:"error,omitempty"`
	Commands [][]any `json:"commands,omitempty"`
	Seconds  float64 `json:"seconds"`
	Refused  string  `json:"refused"`
	Failed   bool    `json:"failed"`
	Warnings [][]any `json:"warnings"`
}

func command(node *parser.Node) []any {
	bodies := [][]string{}
	for _, found := range node.Heredocs {
		bodies = append(bodies, []string{found.Name, found.Content})
	}
	sub, flags, args := "", append([]string{}, node.Flags...), []string{}
	holder := node
	if node.Next != nil && len(node.Next.Children) > 0 {
		holder = node.Next.Children[0]
		sub, flags = strings.ToUpper(holder.Value), append(flags, holder.Flags...)
	}
	for next := holder.Next; next != nil; next = next.Next {
		args = append(args, next.Value)
	}
	name := strings.ToUpper(node.Value)
	return []any{name, sub, holder.Attributes["json"], flags, args, node.StartLine, node.EndLine, bodies}
}

func read(name string) (found answer) {
	data, err := os.ReadFile(name)
	if err != nil {
		panic(err)
	}
	started := time.Now()
	tree, err := parser.Parse(bytes.NewReader(data))
	found.Seconds = time.Since(started).Seconds()
	if err != nil {
		found.Error = err.Error()
		return found
	}
	for _, node := range tree.AST.Children {
		found.Commands = append(found.Commands, command(node))
	}
	if _, _, err := instructions.Parse(tree.AST, nil); err != nil {
		found.Refused = err.Error()
		return found
	}
	check(data, &found)
	return found
}

func check(data []byte, found *answer) {
	context := context.Background()
	root := llb.Scratch()
	source := llb.NewSourceMap(nil, "Dockerfile", "", data)
	source.Definition, _ = root.Marshal(context)
	options := dockerfile2llb.ConvertOpt{MetaResolver: images{}, MainContext: &root, SourceMap: source}
	results, err := dockerfile2llb.DockerfileLint(context, data, options)
	if err != nil || results.Error != nil {
		found.Failed = true
		return
	}
	for _, warning := range results.Warnings {
		line := warning.Location.Ranges[0].Start.Line
		found.Warnings = append(found.Warnings, []any{warning.RuleName, line, warning.Detail})
	}
}

func main() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := encoder.Encode(read(in.Text())); err != nil {
			panic(err)
		}
	}
}
