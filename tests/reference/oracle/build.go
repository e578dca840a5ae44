package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	"github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	"github.com/pkg/errors"
	"google.golang.org/protobuf/encoding/protojson"
)

// BuildResult is one platform's graph and image.
type BuildResult struct {
	Platform   string          `json:"platform"`
	Vertices   []Vertex        `json:"vertices"`
	Config     json.RawMessage `json:"config,omitempty"`
	ConfigSum  string          `json:"config_digest,omitempty"`
	BaseConfig json.RawMessage `json:"base_config,omitempty"`
	Epoch      string          `json:"epoch,omitempty"`
}

// Vertex is one element of Definition.def, in its order.
type Vertex struct {
	Digest    string            `json:"digest"`
	Raw       string            `json:"raw,omitempty"`
	Op        json.RawMessage   `json:"op,omitempty"`
	NoCache   bool              `json:"no_cache,omitempty"`
	Desc      map[string]string `json:"desc,omitempty"`
	Group     string            `json:"group,omitempty"`
	Caps      []string          `json:"caps,omitempty"`
	Resources json.RawMessage   `json:"resources,omitempty"`
	Lines     [][]int           `json:"lines,omitempty"`
}

// Warning is what the frontend sends to the progress stream.
type Warning struct {
	Message string   `json:"message"`
	URL     string   `json:"url,omitempty"`
	Level   int      `json:"level,omitempty"`
	Detail  []string `json:"detail,omitempty"`
	Ranges  [][]int  `json:"ranges,omitempty"`
}

// ResolvedImage is one image that the frontend asked the daemon about.
type ResolvedImage struct {
	Ref      string `json:"ref"`
	Platform string `json:"platform"`
	Mode     string `json:"mode,omitempty"`
	LogName  string `json:"log_name,omitempty"`
}

// Load is a source read before the graph was made.
type Load struct {
	Source string `json:"source"`
	Digest string `json:"digest"`

	ref client.Reference
}

func build(req Request) (ans Answer) {
	if req.Session == "" {
		req.Session = "llboracle-session"
	}
	if req.Stub == "" {
		req.Stub = "plain"
	}
	if req.Opts == nil {
		req.Opts = map[string]string{}
	}
	// Without it the frontend hands files with a syntax directive on.
	if _, ok := req.Opts["cmdline"]; !ok {
		req.Opts["cmdline"] = "oracle"
	}
	if req.Opts["cmdline"] == "-" {
		delete(req.Opts, "cmdline")
	}
	c := &fakeClient{req: req}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	res, err := builder.Build(ctx, c)
	c.mu.Lock()
	defer c.mu.Unlock()
	ans.Warnings, ans.Loads, ans.Forward = c.warnings, c.loads, c.forward
	ans.Images = c.images
	slices.SortStableFunc(ans.Images, func(a, b ResolvedImage) int {
		return strings.Compare(a.Ref+" "+a.Platform, b.Ref+" "+b.Platform)
	})
	if err != nil {
		ans.Error = failureOf(err)
		return ans
	}
	if req.Opts["requestid"] != "" {
		ans.Response = map[string]string{}
		for k, v := range res.Metadata {
			ans.Response[k] = string(v)
		}
		return ans
	}
	if ans.Forward != nil {
		return ans
	}
	// A result that is one source op looks like a load.
	ans.Loads = slices.DeleteFunc(ans.Loads, func(l Load) bool {
		isResult := res.Ref == l.ref
		for _, ref := range res.Refs {
			isResult = isResult || ref == l.ref
		}
		return isResult
	})
	ans.Results, err = resultsOf(res, req.Raw)
	if err != nil {
		ans.Error = failureOf(err)
	}
	return ans
}

func failureOf(err error) *Failure {
	f := &Failure{Message: err.Error()}
	for _, s := range errdefs.Sources(err) {
		var rs [][]int
		for _, r := range s.Ranges {
			rs = append(rs, rangeOf(r))
		}
		f.Ranges = append(f.Ranges, rs)
	}
	if len(f.Ranges) == 0 {
		var el *parser.LocationError
		if errors.As(err, &el) {
			for _, l := range el.Locations {
				var rs [][]int
				for _, r := range l {
					rs = append(rs, []int{r.Start.Line, r.Start.Character, r.End.Line, r.End.Character})
				}
				f.Ranges = append(f.Ranges, rs)
			}
		}
	}
	return f
}

func rangeOf(r *pb.Range) []int {
	return []int{int(r.Start.Line), int(r.Start.Character), int(r.End.Line), int(r.End.Character)}
}

func resultsOf(res *client.Result, raw bool) ([]BuildResult, error) {
	var ps exptypes.Platforms
	if err := json.Unmarshal(res.Metadata[exptypes.ExporterPlatformsKey], &ps); err != nil {
		return nil, errors.Wrap(err, "platforms of the result")
	}
	var out []BuildResult
	for _, p := range ps.Platforms {
		ref, suffix := res.Ref, ""
		if res.Ref == nil {
			ref, suffix = res.Refs[p.ID], "/"+p.ID
		}
		r := BuildResult{
			Platform:   p.ID,
			Config:     json.RawMessage(compact(res.Metadata[exptypes.ExporterImageConfigKey+suffix])),
			BaseConfig: json.RawMessage(compact(res.Metadata[exptypes.ExporterImageBaseConfigKey+suffix])),
			ConfigSum:  digest.FromBytes(res.Metadata[exptypes.ExporterImageConfigKey+suffix]).String(),
			Epoch:      string(res.Metadata["source.date.epoch"+suffix]),
		}
		var err error
		r.Vertices, err = verticesOf(ref.(*fakeRef).def, raw)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}

// compact only drops white space: it keeps the order and spelling of the bytes.
func compact(dt []byte) string {
	var buf bytes.Buffer
	if json.Compact(&buf, dt) != nil {
		return ""
	}
	return buf.String()
}

func verticesOf(def *pb.Definition, raw bool) ([]Vertex, error) {
	out := []Vertex{}
	for _, dt := range def.Def {
		v := Vertex{Digest: digest.FromBytes(dt).String()}
		if raw {
			if err := describe(&v, dt); err != nil {
				return nil, err
			}
		}
		if md := def.Metadata[v.Digest]; md != nil {
			v.NoCache = md.IgnoreCache
			v.Desc = md.Description
			for name, on := range md.Caps {
				if on {
					v.Caps = append(v.Caps, string(name))
				}
			}
			slices.Sort(v.Caps)
			if g := md.ProgressGroup; g != nil {
				v.Group = g.Name
			}
			if md.LinuxResources != nil {
				js, err := protojson.Marshal(md.LinuxResources)
				if err != nil {
					return nil, err
				}
				v.Resources = json.RawMessage(compact(js))
			}
		}
		if def.Source != nil {
			if locs := def.Source.Locations[v.Digest]; locs != nil {
				for _, loc := range locs.Locations {
					for _, r := range loc.Ranges {
						v.Lines = append(v.Lines, rangeOf(r))
					}
				}
			}
		}
		out = append(out, v)
	}
	return out, nil
}

// describe adds the op itself, as bytes and for reading.
func describe(v *Vertex, dt []byte) error {
	v.Raw = base64.StdEncoding.EncodeToString(dt)
	var op pb.Op
	if err := op.Unmarshal(dt); err != nil {
		return err
	}
	js, err := protojson.Marshal(&op)
	if err != nil {
		return err
	}
	v.Op = json.RawMessage(compact(js))
	return nil
}
