package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/gateway/client"
	gwpb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/moby/buildkit/solver/pb"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/pkg/errors"
	fstypes "github.com/tonistiigi/fsutil/types"
)

// stubTime is the age of every stubbed image, commit and download.
var stubTime = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// fakeClient is the daemon as the frontend sees it.
type fakeClient struct {
	req Request

	mu       sync.Mutex
	loads    []Load
	images   []ResolvedImage
	warnings []Warning
	forward  map[string]string
}

var _ client.Client = &fakeClient{}

func (c *fakeClient) BuildOpts() client.BuildOpts {
	ps := c.req.Workers
	if len(ps) == 0 {
		ps = []string{"linux/amd64"}
	}
	var parsed []ocispecs.Platform
	for _, p := range ps {
		parsed = append(parsed, platforms.MustParse(p))
	}
	return client.BuildOpts{
		Opts:      c.req.Opts,
		SessionID: c.req.Session,
		Workers:   []client.WorkerInfo{{ID: "stub", Platforms: parsed}},
		Product:   "oracle",
		LLBCaps:   pb.Caps.CapSet(pb.Caps.All()),
		Caps:      gwpb.Caps.CapSet(gwpb.Caps.All()),
	}
}

func (c *fakeClient) Solve(_ context.Context, req client.SolveRequest) (*client.Result, error) {
	res := client.NewResult()
	if req.Frontend != "" {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.forward = req.FrontendOpt
		res.SetRef(&fakeRef{client: c})
		return res, nil
	}
	ref := &fakeRef{client: c, def: req.Definition}
	if src := ref.onlySource(); src != nil && len(req.Definition.Def) == 2 {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.loads = append(c.loads, Load{
			Source: src.Identifier,
			Digest: digest.FromBytes(req.Definition.Def[0]).String(),
			ref:    ref,
		})
	}
	res.SetRef(ref)
	return res, nil
}

func (c *fakeClient) ResolveImageConfig(_ context.Context, ref string, opt sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	var platform *ocispecs.Platform
	mode := ""
	if opt.ImageOpt != nil {
		platform, mode = opt.ImageOpt.Platform, opt.ImageOpt.ResolveMode
	}
	if opt.OCILayoutOpt != nil {
		platform, mode = opt.OCILayoutOpt.Platform, "oci-layout"
	}
	if platform == nil {
		p := c.BuildOpts().Workers[0].Platforms[0]
		platform = &p
	}
	dgst := digest.FromString(ref)
	if i := strings.LastIndex(ref, "@"); i >= 0 {
		dgst = digest.Digest(ref[i+1:])
	}
	stub, ok := c.req.Images[ref]
	if !ok {
		stub = c.req.Stub
	}
	config, err := stubConfig(stub, ref, *platform)
	if err != nil {
		return "", "", nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.images = append(c.images, ResolvedImage{
		Ref:      ref,
		Platform: platforms.FormatAll(*platform),
		Mode:     mode,
		LogName:  opt.LogName,
	})
	return ref, dgst, config, nil
}

// stubConfig is the image config a stub name stands for: a name of
// configs.json, a config in JSON, or `missing` for an image nobody has.
func stubConfig(stub, ref string, platform ocispecs.Platform) ([]byte, error) {
	if stub == "missing" {
		return nil, errors.Errorf("%s: not found", ref)
	}
	if strings.HasPrefix(stub, "{") {
		return []byte(stub), nil
	}
	config, ok := stubConfigs()[stub]
	if !ok {
		return nil, errors.Errorf("no stub config named %q", stub)
	}
	config = strings.ReplaceAll(config, "@ARCH@", platform.Architecture)
	variant := ""
	if platform.Variant != "" {
		variant = `,"variant":"` + platform.Variant + `"`
	}
	config = strings.ReplaceAll(config, `,"variant":"@VARIANT@"`, variant)
	config = strings.ReplaceAll(config, "@LAYER@", digest.FromString("layer:"+ref).String())
	return []byte(strings.ReplaceAll(config, "@OS@", platform.OS)), nil
}

// stubConfigs reads configs.json, which the Rust side of the test reads too.
var stubConfigs = sync.OnceValue(func() map[string]string {
	path := os.Getenv("ORACLE_CONFIGS")
	if path == "" {
		path = "../configs.json"
	}
	dt, err := os.ReadFile(path)
	if err != nil {
		fmt.Fprintln(os.Stderr, "oracle: the stub image configs can't be read:", err)
		os.Exit(2)
	}
	raw := map[string]json.RawMessage{}
	if err := json.Unmarshal(dt, &raw); err != nil {
		fmt.Fprintf(os.Stderr, "oracle: %s: %s\n", path, err)
		os.Exit(2)
	}
	out := map[string]string{}
	for name, value := range raw {
		out[name] = compact(value)
	}
	return out
})

func (c *fakeClient) ResolveSourceMetadata(ctx context.Context, op *pb.SourceOp, opt sourceresolver.Opt) (*sourceresolver.MetaResponse, error) {
	res := &sourceresolver.MetaResponse{Op: op}
	switch {
	case strings.HasPrefix(op.Identifier, "git://"):
		when := fmt.Sprintf("Stub <stub@example.com> %d +0000", stubTime.Unix())
		res.Git = &sourceresolver.ResolveGitResponse{
			Checksum: strings.Repeat("ab", 20),
			Ref:      "refs/heads/master",
			CommitObject: []byte("tree " + strings.Repeat("cd", 20) + "\nauthor " + when +
				"\ncommitter " + when + "\n\nstub\n"),
		}
	case strings.HasPrefix(op.Identifier, "http"):
		when := stubTime
		res.HTTP = &sourceresolver.ResolveHTTPResponse{
			Digest:       digest.FromString(op.Identifier),
			LastModified: &when,
		}
	case strings.HasPrefix(op.Identifier, "docker-image://"):
		ref := strings.TrimPrefix(op.Identifier, "docker-image://")
		_, dgst, config, err := c.ResolveImageConfig(ctx, ref, opt)
		if err != nil {
			return nil, err
		}
		res.Image = &sourceresolver.ResolveImageResponse{Digest: dgst, Config: config}
	}
	return res, nil
}

func (c *fakeClient) Inputs(context.Context) (map[string]llb.State, error) {
	return nil, nil
}

func (c *fakeClient) NewContainer(context.Context, client.NewContainerRequest) (client.Container, error) {
	return nil, errors.New("the oracle runs nothing")
}

func (c *fakeClient) Warn(_ context.Context, _ digest.Digest, msg string, opts client.WarnOpts) error {
	w := Warning{Message: msg, URL: opts.URL, Level: opts.Level}
	for _, d := range opts.Detail {
		w.Detail = append(w.Detail, string(d))
	}
	for _, r := range opts.Range {
		w.Ranges = append(w.Ranges, rangeOf(r))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.warnings = append(c.warnings, w)
	return nil
}

// fakeRef is a solved definition whose files are the request's.
type fakeRef struct {
	client *fakeClient
	def    *pb.Definition
}

var _ client.Reference = &fakeRef{}

func (r *fakeRef) onlySource() *pb.SourceOp {
	if r.def == nil || len(r.def.Def) == 0 {
		return nil
	}
	var op pb.Op
	if err := op.Unmarshal(r.def.Def[0]); err != nil {
		return nil
	}
	return op.GetSource()
}

func (r *fakeRef) ReadFile(_ context.Context, req client.ReadRequest) ([]byte, error) {
	src := r.onlySource()
	if src == nil {
		return nil, errors.Errorf("open %s: no such file or directory", req.Filename)
	}
	if name, ok := strings.CutPrefix(src.Identifier, "local://"); ok {
		if !r.follows(src, req.Filename) {
			return nil, errors.Errorf("open %s: not sent", req.Filename)
		}
		files := r.client.req.Files[name]
		if dt, ok := files[req.Filename]; ok {
			return []byte(dt), nil
		}
		if name == r.dockerfileLocal() && req.Filename == r.dockerfileName() {
			return r.client.req.Dockerfile, nil
		}
		return nil, errors.Errorf("open %s: no such file or directory", req.Filename)
	}
	if req.Filename == r.dockerfileName() {
		return r.client.req.Dockerfile, nil
	}
	if req.Filename == "context" && strings.HasPrefix(src.Identifier, "http") {
		if r.client.req.Archive {
			return []byte{0x1f, 0x8b, 0x08, 0, 0}, nil
		}
		return r.client.req.Dockerfile, nil
	}
	if dt, ok := r.client.req.Files["remote"][req.Filename]; ok {
		return []byte(dt), nil
	}
	return nil, errors.Errorf("open %s: no such file or directory", req.Filename)
}

// follows is false when a real session would not have sent the file.
func (r *fakeRef) follows(src *pb.SourceOp, name string) bool {
	var follow []string
	if v := src.Attrs[pb.AttrFollowPaths]; v == "" || json.Unmarshal([]byte(v), &follow) != nil {
		return true
	}
	return slices.Contains(follow, name)
}

func (r *fakeRef) dockerfileLocal() string {
	if v, ok := r.client.req.Opts["dockerfilekey"]; ok {
		return v
	}
	return "dockerfile"
}

func (r *fakeRef) dockerfileName() string {
	if v, ok := r.client.req.Opts["filename"]; ok {
		return v
	}
	return "Dockerfile"
}

func (r *fakeRef) ToState() (llb.State, error)    { return llb.Scratch(), nil }
func (r *fakeRef) Evaluate(context.Context) error { return nil }

func (r *fakeRef) StatFile(context.Context, client.StatRequest) (*fstypes.Stat, error) {
	return nil, errors.New("the oracle has no files to stat")
}

func (r *fakeRef) ReadDir(context.Context, client.ReadDirRequest) ([]*fstypes.Stat, error) {
	return nil, errors.New("the oracle has no directories")
}
