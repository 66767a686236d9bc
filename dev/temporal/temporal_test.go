package temporal

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdktemporal "go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"quartermaster/dev/child"
)

// theProgram compiles this project's server, or takes the one kept, once for all tests here. It does not ask Program,
// which may find a Temporal CLI: these tests are about our own.
var theProgram = sync.OnceValues(func() (string, error) {
	source, err := sourceDir()
	if err != nil {
		return "", err
	}
	return compiled(context.Background(), source, os.Stderr)
})

var (
	color = sdktemporal.NewSearchAttributeKeyKeyword("Color")
	since = sdktemporal.NewSearchAttributeKeyTime("WaitingSince")
)

func program(t *testing.T) string {
	t.Helper()
	path, err := theProgram()
	require.NoError(t, err)
	return path
}

// setup starts a server that is killed after the test.
func setup(t *testing.T, o Options) *Server {
	t.Helper()
	path := program(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, err := Start(ctx, path, o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Kill()) })
	return s
}

func dial(t *testing.T, s *Server) client.Client {
	t.Helper()
	c, err := client.DialContext(t.Context(), client.Options{HostPort: s.Address(), Namespace: s.options.Namespace})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return c
}

// greet is a workflow with one activity. It upserts a search attribute, which goes another way through the server than
// one given at the start.
func greet(ctx workflow.Context, name string) (greeting string, err error) {
	if err := workflow.UpsertTypedSearchAttributes(ctx, since.ValueSet(workflow.Now(ctx))); err != nil {
		return "", err
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 10 * time.Second})
	err = workflow.ExecuteActivity(ctx, say, name).Get(ctx, &greeting)
	return greeting, err
}

func say(_ context.Context, name string) (string, error) { return "Hello, " + name, nil }

// runGreet runs the workflow to its end and returns what it said.
func runGreet(t *testing.T, c client.Client, id string) string {
	t.Helper()
	const queue = "greetings"
	w := worker.New(c, queue, worker.Options{})
	w.RegisterWorkflow(greet)
	w.RegisterActivity(say)
	require.NoError(t, w.Start())
	defer w.Stop()
	run, err := c.ExecuteWorkflow(t.Context(), client.StartWorkflowOptions{
		ID: id, TaskQueue: queue, TypedSearchAttributes: sdktemporal.NewSearchAttributes(color.ValueSet("green")),
	}, greet, "Temporal")
	require.NoError(t, err)
	var greeting string
	require.NoError(t, run.Get(t.Context(), &greeting))
	return greeting
}

// count says how many workflows a query finds.
func count(t *testing.T, c client.Client, query string) int64 {
	t.Helper()
	answer, err := c.CountWorkflow(t.Context(), &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	require.NoError(t, err)
	return answer.GetCount()
}

var attributes = map[string]string{"Color": "Keyword", "WaitingSince": "datetime"}

func TestServerRunsWorkflowsWithSearchAttributes(t *testing.T) {
	t.Parallel()
	s := setup(t, Options{Namespace: "paint", UIPort: -1, SearchAttributes: attributes})
	c := dial(t, s)
	require.Empty(t, s.WebURL())

	require.Equal(t, "Hello, Temporal", runGreet(t, c, "one"))

	require.Eventually(t, func() bool {
		return count(t, c, "Color = 'green' AND WaitingSince IS NOT NULL") == 1
	}, 10*time.Second, 50*time.Millisecond)
	require.Zero(t, count(t, c, "Color = 'red'"))
	namespace, err := c.WorkflowService().DescribeNamespace(t.Context(), &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
	require.NoError(t, err)
	require.Equal(t, 30*24*time.Hour, namespace.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration())
}

func TestServerServesTheWebUI(t *testing.T) {
	t.Parallel()
	s := setup(t, Options{Namespace: "paint", CodecEndpoint: "http://127.0.0.1:9/codec"})
	get := func(path string) *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.WebURL()+path, nil)
		require.NoError(t, err)
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		t.Cleanup(func() { _ = response.Body.Close() })
		require.Equal(t, http.StatusOK, response.StatusCode, path)
		return response
	}

	get("/")

	var settings struct {
		DefaultNamespace          string
		DisableNewsFetch          bool
		WorkflowTerminateDisabled bool
		WorkflowResetDisabled     bool
		WorkflowUpdateDisabled    bool
		StartWorkflowDisabled     bool
		BatchActionsDisabled      bool
		WorkflowCancelDisabled    bool
		Codec                     struct{ Endpoint string }
	}
	require.NoError(t, json.NewDecoder(get("/api/v1/settings").Body).Decode(&settings))
	require.Equal(t, "paint", settings.DefaultNamespace)
	require.True(t, settings.DisableNewsFetch, "the browser would ask the internet")
	require.True(t, settings.WorkflowTerminateDisabled, "a terminated workflow runs no undo")
	require.True(t, settings.WorkflowResetDisabled, "a step back in an order is a decision for the runbook")
	require.True(t, settings.WorkflowUpdateDisabled, "the API records who acts on an order and why")
	require.True(t, settings.StartWorkflowDisabled, "the API checks and records what is ordered")
	require.True(t, settings.BatchActionsDisabled, "one click would cancel every order")
	require.False(t, settings.WorkflowCancelDisabled, "a cancelled order is undone")
	require.Equal(t, "http://127.0.0.1:9/codec", settings.Codec.Endpoint)
}

func TestServerKeepsEverythingInItsFile(t *testing.T) {
	t.Parallel()
	// Characters that mean something in SQLite's URIs.
	o := Options{DBFile: filepath.Join(t.TempDir(), "a new directory", "50%20?.db"), UIPort: -1, SearchAttributes: attributes}
	s := setup(t, o)
	require.Equal(t, "Hello, Temporal", runGreet(t, dial(t, s), "one"))
	require.NoError(t, s.Kill())

	o.SearchAttributes = map[string]string{"Color": "Keyword", "WaitingSince": "Datetime", "Size": "Int"}
	c := dial(t, setup(t, o))

	described, err := c.DescribeWorkflowExecution(t.Context(), "one", "")
	require.NoError(t, err)
	require.Equal(t, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, described.GetWorkflowExecutionInfo().GetStatus())
	var greeting string
	require.NoError(t, c.GetWorkflow(t.Context(), "one", "").Get(t.Context(), &greeting))
	require.Equal(t, "Hello, Temporal", greeting)
	require.EqualValues(t, 1, count(t, c, "Color = 'green' AND Size IS NULL"), "a search attribute may be added later")
	require.Equal(t, "Hello, Temporal", runGreet(t, c, "two"), "and the server goes on working")
}

func TestServerRefusesToChangeTheTypeOfASearchAttribute(t *testing.T) {
	t.Parallel()
	o := Options{DBFile: filepath.Join(t.TempDir(), "temporal.db"), UIPort: -1, SearchAttributes: map[string]string{"Color": "Keyword"}}
	require.NoError(t, setup(t, o).Kill())

	o.SearchAttributes = map[string]string{"Color": "Int"}
	_, err := Start(t.Context(), program(t), o)

	require.ErrorContains(t, err, `search attribute "Color" is of type Keyword there already and cannot become Int`)
}

func TestServerStops(t *testing.T) {
	t.Parallel()
	s := setup(t, Options{LogFile: filepath.Join(t.TempDir(), "temporal.log")})
	require.NoError(t, s.Err())

	require.NoError(t, s.Stop(), "the program ends with exit code 0 and in time")

	select {
	case <-s.Done():
	default:
		require.Fail(t, "Stop returned before the process ended")
	}
	require.NoError(t, free(t.Context(), "127.0.0.1", s.options.Port))
	require.NoError(t, free(t.Context(), "127.0.0.1", s.options.UIPort))
	require.NoError(t, s.Stop(), "stopping twice is no error")
	require.NoError(t, s.Err(), "an end that was asked for is no error")
	logged, err := os.ReadFile(s.options.LogFile)
	require.NoError(t, err)
	require.Contains(t, string(logged), "Stopping …")
}

func TestServerReportsWhyItEnded(t *testing.T) {
	t.Parallel()
	s := setup(t, Options{UIPort: -1})
	process, err := os.FindProcess(s.PID())
	require.NoError(t, err)

	require.NoError(t, process.Kill())
	<-s.Done()

	require.ErrorContains(t, s.Err(), "the Temporal server ended: signal: killed")
}

func TestStartRefusesAPortInUse(t *testing.T) {
	t.Parallel()
	taken := listen(t)
	path := program(t)

	_, err := Start(t.Context(), path, Options{Port: taken})
	require.ErrorContains(t, err, "Port "+strconv.Itoa(taken)+" cannot be used")
	_, err = Start(t.Context(), path, Options{UIPort: taken})
	require.ErrorContains(t, err, "UIPort "+strconv.Itoa(taken)+" cannot be used")
}

func TestStartRefusesInvalidOptions(t *testing.T) {
	t.Parallel()
	path := program(t)
	silent := filepath.Join(t.TempDir(), "silent")
	require.NoError(t, os.WriteFile(silent, []byte("#!/bin/sh\necho first; echo it cannot be >&2; exit 3\n"), 0o700))
	tests := map[string]struct {
		program string
		options Options
		want    string
	}{
		"an address": {path, Options{IP: "example"}, `IP "example" is not an address`},
		"a type":     {path, Options{SearchAttributes: map[string]string{"A": "Float"}}, `search attribute "A": "Float" is not a type`},
		"a name": {
			path, Options{SearchAttributes: map[string]string{"WorkflowType": "Text"}},
			`Temporal keeps the name "WorkflowType" for itself`,
		},
		"a program":   {filepath.Join(t.TempDir(), "absent"), Options{}, "cannot run the Temporal server"},
		"an odd one":  {silent, Options{}, "the Temporal server ended before it served: exit status 3: first\nit cannot be"},
		"a log file":  {path, Options{LogFile: filepath.Join(t.TempDir(), "no", "such", "directory")}, "cannot log what Temporal says"},
		"a directory": {path, Options{DBFile: filepath.Join(silent, "temporal.db")}, "no place for the database of Temporal"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Start(t.Context(), tt.program, tt.options)
			require.ErrorContains(t, err, tt.want)
		})
	}
}

func TestStartEndsWithItsContext(t *testing.T) {
	t.Parallel()
	mute := filepath.Join(t.TempDir(), "mute")
	require.NoError(t, os.WriteFile(mute, []byte("#!/bin/sh\nexec sleep 600\n"), 0o700))
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()

	_, err := Start(ctx, mute, Options{})

	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "does not serve on 127.0.0.1:")
}

// TestProgramRefuses runs the program from a command line. It prints one sentence that names the flag, and exits with 1.
func TestProgramRefuses(t *testing.T) {
	t.Parallel()
	taken := strconv.Itoa(listen(t))
	held := filepath.Join(t.TempDir(), "held.db")
	setup(t, Options{DBFile: held, UIPort: -1})
	port, err := draw(t.Context(), "127.0.0.1")
	require.NoError(t, err)
	free := strconv.Itoa(port)
	text := filepath.Join(t.TempDir(), "text.db")
	require.NoError(t, os.WriteFile(text, []byte("this is a letter and no database"), 0o600))
	path := program(t)
	tests := map[string]struct {
		arguments []string
		want      string
	}{
		"gRPC port in use": {
			[]string{"--port", taken},
			"cannot serve gRPC on port " + taken + " (listen tcp 127.0.0.1:" + taken + ": bind: address already in use): " +
				"stop what listens there, or choose another port with --port",
		},
		"UI port in use": {[]string{"--port", free, "--ui-port", taken}, "or choose another port with --ui-port"},
		"one port twice": {[]string{"--port", free, "--ui-port", free}, "--ui-port " + free + " is also the port of --port"},
		"file in use":    {[]string{"--port", free, "-f", held}, "another Temporal server is using it"},
		"no database":    {[]string{"--port", free, "-f", text}, "cannot set up the database: file is not a database"},
		"no directory":   {[]string{"--port", free, "-f", filepath.Join(text, "x.db")}, `x.db" cannot be used: `},
		"unknown key":    {[]string{"--dynamic-config-value", "matching.enableFairnes=true"}, "unregistered key"},
		"wrong value":    {[]string{"--dynamic-config-value", "matching.numTaskqueueReadPartitions=\"x\""}, "value type is not int"},
		"no equals sign": {[]string{"--search-attribute", "Color"}, `--search-attribute "Color" has no equals sign: give NAME=TYPE`},
		"too many": {
			[]string{
				"--port", free, "--search-attribute", "A=Int", "--search-attribute", "B=Int",
				"--search-attribute", "C=Int", "--search-attribute", "D=Int",
			},
			`search attribute "D" is one more of type Int than Temporal has room for`,
		},
		"unknown flag": {[]string{"--color"}, "unknown flag --color"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			arguments := append([]string{"server", "start-dev"}, tt.arguments...)
			said, err := exec.CommandContext(t.Context(), path, arguments...).CombinedOutput()
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, string(said))
			require.Equal(t, 1, exit.ExitCode())
			require.Contains(t, string(said), tt.want)
			require.Regexp(t, `\Atemporal-server: [^\n]*\n\z`, string(said), "one line")
		})
	}
}

// TestProgramServesHTTPAndMetrics uses what Start does not: the HTTP API, metrics, and a file that a start which was
// killed at once left empty.
func TestProgramServesHTTPAndMetrics(t *testing.T) {
	t.Parallel()
	database := filepath.Join(t.TempDir(), "temporal.db")
	require.NoError(t, os.WriteFile(database, nil, 0o600))
	o, err := Options{IP: "127.0.0.1"}.drawPorts(t.Context())
	require.NoError(t, err)
	api, err := Options{IP: "127.0.0.1"}.drawPorts(t.Context())
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), program(t), "server", "start-dev", "--ip", "localhost",
		"-p", strconv.Itoa(o.Port), "--headless", "-f", database, "--log-level", "never",
		"--http-port", strconv.Itoa(api.Port), "--metrics-port", strconv.Itoa(api.UIPort))
	process, err := child.Start(cmd)
	require.NoError(t, err)

	for _, url := range []string{
		"http://" + o.reach(api.Port) + "/api/v1/namespaces/default",
		"http://" + o.reach(api.UIPort) + "/metrics",
	} {
		require.EventuallyWithT(t, func(c *assert.CollectT) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
			require.NoError(c, err)
			response, err := http.DefaultClient.Do(request)
			require.NoError(c, err)
			defer func() { _ = response.Body.Close() }()
			require.Equal(c, http.StatusOK, response.StatusCode)
		}, 20*time.Second, 50*time.Millisecond, url)
	}
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	require.NoError(t, process.Wait(), "SIGINT is a clean end, too")
}

// TestProgramUnderstandsTheSDK starts the program as the Go SDK starts a Temporal CLI.
func TestProgramUnderstandsTheSDK(t *testing.T) {
	t.Parallel()
	// The SDK would draw its port from where clients draw theirs.
	o, err := Options{IP: "127.0.0.1"}.drawPorts(t.Context())
	require.NoError(t, err)
	s, err := testsuite.StartDevServer(t.Context(), testsuite.DevServerOptions{
		ExistingPath:     program(t),
		ClientOptions:    &client.Options{HostPort: o.reach(o.Port), Namespace: "paint"},
		DBFilename:       filepath.Join(t.TempDir(), "temporal.db"),
		EnableUI:         true,
		UIPort:           strconv.Itoa(o.UIPort),
		LogFormat:        "json",
		LogLevel:         "error",
		SearchAttributes: sdktemporal.NewSearchAttributes(color.ValueSet(""), since.ValueSet(time.Time{})),
		ExtraArgs: []string{
			"--dynamic-config-value", `history.timerProcessorMaxTimeShift="5ms"`,
			"--sqlite-pragma", "journal_mode=wal",
		},
		Stdout: io.Discard,
		Stderr: io.Discard,
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, s.Stop()) }()

	require.Equal(t, "Hello, Temporal", runGreet(t, s.Client(), "one"))
}

func listen(t *testing.T) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	address, err := netip.ParseAddrPort(listener.Addr().String())
	require.NoError(t, err)
	return int(address.Port())
}
