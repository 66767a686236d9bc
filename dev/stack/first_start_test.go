package stack_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/durationpb"

	"quartermaster/api/openapi"
	"quartermaster/dev/child"
	"quartermaster/dev/stack"
	"quartermaster/dev/temporal"
	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
	"quartermaster/workflows/control"
)

// product is an API, and later a worker, with their own database and Temporal.
type product struct {
	t        *testing.T
	api      string // base URL
	metrics  string // base URL of the API's metrics
	temporal string // host:port
	env      []string
}

func setupProduct(ctx context.Context, t *testing.T) (*product, *postgres.DB) {
	t.Helper()
	database, err := pgtest.Start(ctx, pgtest.Options{})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, database.Stop()) })
	address := func() string {
		port, err := stack.FreePort(ctx)
		require.NoError(t, err)
		return fmt.Sprintf("127.0.0.1:%d", port)
	}
	listen, metrics := address(), address()
	p := &product{t: t, api: "http://" + listen, metrics: "http://" + metrics, temporal: address()}
	p.env = []string{"QM_DATABASE_URL=" + database.URL("postgres"), "TEMPORAL_ADDRESS=" + p.temporal, "TEMPORAL_NAMESPACE=shop",
		"QM_LISTEN=" + listen, "QM_PUBLIC_URL=" + p.api, "QM_CODEC_LISTEN=", "QM_METRICS_LISTEN=" + metrics}
	out, err := p.run(ctx, "migrate")
	require.NoError(t, err, out)
	db, err := postgres.Open(ctx, database.URL("postgres"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return p, db
}

// run runs a command of the program to its end.
func (p *product) run(ctx context.Context, args ...string) (string, error) {
	cmd := playground.Command(ctx, args...)
	cmd.Env = append(cmd.Env, p.env...)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// start starts a command of the program until the test ends, and shows its log when the test failed.
func (p *product) start(ctx context.Context, command string, env ...string) {
	p.t.Helper()
	cmd := playground.Command(context.WithoutCancel(ctx), command)
	cmd.Env = append(append(cmd.Env, p.env...), env...)
	log, err := os.Create(p.t.TempDir() + "/log")
	require.NoError(p.t, err)
	cmd.Stdout, cmd.Stderr = log, log
	process, err := child.Start(cmd, log)
	require.NoError(p.t, err)
	p.t.Cleanup(func() {
		require.NoError(p.t, process.Stop(40*time.Second))
		if text, err := os.ReadFile(log.Name()); err == nil && p.t.Failed() {
			p.t.Logf("%s:\n%s", command, text)
		}
	})
}

// get reads an address; status 0 means that no one listens yet.
func (p *product) get(ctx context.Context, address string) (status int, body string) {
	p.t.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	require.NoError(p.t, err)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, ""
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(p.t, err)
	return response.StatusCode, string(bytes.TrimSpace(text))
}

// until reads an address until the response is the expected one.
func (p *product) until(ctx context.Context, address string, status int, text string) {
	p.t.Helper()
	var got int
	var body string
	require.Eventually(p.t, func() bool {
		got, body = p.get(ctx, address)
		return got == status && bytes.Contains([]byte(body), []byte(text))
	}, 20*time.Second, 50*time.Millisecond, "%s: %d %s", address, got, body)
}

// TestStartBeforeItsDependencies starts the API first, then Temporal, then creates the namespace, then starts a worker. No request gets
// a 500, no order is lost, and each step says what is missing.
func TestStartBeforeItsDependencies(t *testing.T) {
	ctx := setup(t)
	p, store := setupProduct(ctx, t)
	p.start(ctx, "api")
	p.until(ctx, p.api+"/readyz", http.StatusServiceUnavailable, "Temporal could not be asked")

	var port int
	_, err := fmt.Sscanf(p.temporal, "127.0.0.1:%d", &port)
	require.NoError(t, err)
	server, err := temporal.Start(ctx, temporalProgram, temporal.Options{Port: port, UIPort: -1})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Kill()) })
	p.until(ctx, p.api+"/readyz", http.StatusServiceUnavailable, "temporal operator namespace create --namespace shop")

	shop, err := (&stack.Stack{API: p.api, Store: store}).Seed(ctx, 0)
	require.NoError(t, err)
	order := stack.NewOrder("early", provision.ModelSPAM)
	order.Marketplace = stack.NewReports
	status, _, err := shop.PlaceOrder(ctx, order)
	require.Equal(t, http.StatusServiceUnavailable, status, "%v", err)
	status, err = shop.Do(ctx, http.MethodGet, "/v1/orders/early", nil, nil)
	require.Equal(t, http.StatusServiceUnavailable, status, "%v", err)

	operator, err := client.Dial(client.Options{HostPort: p.temporal, Namespace: "shop"})
	require.NoError(t, err)
	t.Cleanup(operator.Close)
	_, err = operator.WorkflowService().RegisterNamespace(ctx, &workflowservice.RegisterNamespaceRequest{
		Namespace: "shop", WorkflowExecutionRetentionPeriod: durationpb.New(24 * time.Hour),
	})
	require.NoError(t, err)
	statuses := map[int]int{}
	require.Eventually(t, func() bool { // the API itself creates the search attributes
		status, _, _ = shop.PlaceOrder(ctx, order)
		statuses[status]++
		return status == http.StatusAccepted
	}, 20*time.Second, 20*time.Millisecond, "%v", statuses)
	require.Subset(t, []int{http.StatusServiceUnavailable, http.StatusAccepted}, slices.Collect(maps.Keys(statuses)))
	p.until(ctx, p.api+"/readyz", http.StatusNoContent, "")

	// No worker runs. The order is safe, the API is ready, and everyone is told.
	namespace := control.New(operator, client.Options{Namespace: "shop"})
	require.Eventually(t, func() bool {
		queues, err := namespace.TaskQueues(ctx)
		return err == nil && queues[0].Backlog == 1
	}, 10*time.Second, 50*time.Millisecond)
	_, _, err = namespace.OrdersNotStarted(ctx, 10)
	require.NoError(t, err, "the query is one that Temporal takes")
	_, metrics := p.get(ctx, p.metrics+"/metrics")
	require.Contains(t, metrics, "quartermaster_temporal_up 1\n")
	require.Contains(t, metrics, "quartermaster_task_queue_pollers{type=\"workflow\"} 0\n")
	require.Contains(t, metrics, "quartermaster_task_queue_backlog{type=\"workflow\"} 1\n")
	out, err := p.run(ctx, "reconcile")
	require.Error(t, err)
	require.Contains(t, out, "no_workers [stuck]: no worker asks for workflow tasks; about 1 wait")

	port, err = stack.FreePort(ctx)
	require.NoError(t, err)
	worker := fmt.Sprintf("127.0.0.1:%d", port)
	p.start(ctx, "worker", "QM_METRICS_LISTEN="+worker)
	p.until(ctx, "http://"+worker+"/readyz", http.StatusNoContent, "")
	require.Eventually(t, func() bool {
		placed, err := shop.Order(ctx, "early")
		return err == nil && placed.State == provision.WaitingForAccount
	}, 20*time.Second, 50*time.Millisecond)
	out, _ = p.run(ctx, "reconcile")
	require.NotContains(t, out, "no_workers")

	require.NoError(t, server.Kill())
	p.until(ctx, "http://"+worker+"/readyz", http.StatusServiceUnavailable, "Temporal is not ready")
	p.until(ctx, p.api+"/readyz", http.StatusNoContent, "")
	var read openapi.Order
	status, err = shop.Do(ctx, http.MethodGet, "/v1/orders/early", nil, &read)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, status, "what is stored can be read without Temporal")
}
