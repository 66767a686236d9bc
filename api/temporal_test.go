package api

import (
	"bytes"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
	"quartermaster/workflows"
	"quartermaster/workflows/control"
	"quartermaster/workflows/control/controltest"
)

// setupWithTemporal is setup with a Temporal frontend, whose client seals with the ring.
func setupWithTemporal(t *testing.T) (*testAPI, *controltest.Frontend, *secrets.Ring) {
	t.Helper()
	f, address := controltest.Serve(t)
	ring := ringOf(t, secrets.GenerateKey("k1"))
	options := client.Options{HostPort: address}
	options.DataConverter, options.FailureConverter = secrets.Converters(ring)
	c, err := client.Dial(options)
	require.NoError(t, err)
	t.Cleanup(c.Close)
	return setup(t, func(config *Config) { config.Workflows = control.New(c, options) }), f, ring
}

func TestFiftyIdenticalOrdersAtOnceAreOneWorkflow(t *testing.T) {
	t.Parallel()
	w, f, _ := setupWithTemporal(t)
	statuses := make(chan int, 50)
	var done sync.WaitGroup
	for range 50 {
		done.Go(func() { statuses <- w.post("/v1/orders", orderForm("MP-50")).Code })
	}
	done.Wait()
	close(statuses)
	counts := map[int]int{}
	for status := range statuses {
		counts[status]++
	}
	require.Equal(t, map[int]int{http.StatusAccepted: 1, http.StatusOK: 49}, counts)
	require.Len(t, f.Newest, 1)
	readProblem(t, w.post("/v1/orders", orderForm("MP-50", map[string]any{"aws_account_alias": "other"})), http.StatusConflict,
		provision.CodeOrderIDReused)
	require.Equal(t, provision.Accepted, read[openapi.Order](t, w.get("/v1/orders/MP-50"), http.StatusOK).State)
}

// Temporal answers like this while its namespace is being set up: the request is in order, and succeeds when it is repeated later.
func TestANamespaceThatIsNotReadyIsUnavailable(t *testing.T) {
	t.Parallel()
	w, f, _ := setupWithTemporal(t)
	f.Fail = serviceerror.NewNamespaceNotFound("shop")
	answer := w.post("/v1/orders", orderForm("MP-1"))
	readProblem(t, answer, http.StatusServiceUnavailable, codeUnavailable)
	require.NotEmpty(t, answer.Header().Get("Retry-After"))
	readProblem(t, w.get("/v1/orders/MP-1"), http.StatusServiceUnavailable, codeUnavailable)
	f.Fail = nil
	require.Equal(t, http.StatusAccepted, w.post("/v1/orders", orderForm("MP-1")).Code)
}

// A worker that does not answer must leave the request enough time to write its problem.
func TestARequestOutlivesAnUpdateByFiveSeconds(t *testing.T) {
	t.Parallel()
	require.LessOrEqual(t, control.UpdateTimeout, requestTimeout-5*time.Second)
	require.LessOrEqual(t, passwordWait, requestTimeout-5*time.Second)
}

// From the HTTP request to the wire of Temporal and back.
func TestVerbsOverHTTPAndTemporal(t *testing.T) {
	t.Parallel()
	w, f, ring := setupWithTemporal(t)
	data, failures := secrets.Converters(ring)
	refuse := func(why provision.Failure) {
		f.Outcome = &updatepb.Outcome{Value: &updatepb.Outcome_Failure{Failure: failures.ErrorToFailure(temporal.NewApplicationErrorWithOptions(
			why.Error(), string(why.Code), temporal.ApplicationErrorOptions{NonRetryable: true, Details: []any{why}}))}}
	}
	f.AddRun("order/acme/MP-1", "run-1", enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING)
	f.Outcome = &updatepb.Outcome{Value: &updatepb.Outcome_Success{}}
	w.orderIn(provision.ActionRequired, "use_existing_cur")
	read[openapi.Order](t, w.patch("/v1/orders/MP-1", map[string]any{"use_existing_cur": nil}), http.StatusOK)
	var correction workflows.Correction
	require.NoError(t, data.FromPayloads(f.Updates[0].Request.Input.Args, &correction))
	require.Empty(t, *correction.Fields.UseExistingCUR, "null arrives as: a new report")
	require.Equal(t, f.Updates[0].Request.Meta.UpdateId, correction.By.ID, "the workflow writes it down under the id of the update")
	correction.By.ID = ""
	require.Equal(t, provision.Intervention{Actor: "key " + w.keyID()}, correction.By)
	for _, verb := range orderVerbs {
		read[openapi.Order](t, w.post("/v1/orders/MP-1/"+verb, said(verb, "because")), http.StatusAccepted)
	}
	require.Len(t, f.Updates, 1+len(orderVerbs))

	refuse(provision.Failure{Code: provision.CodeNotAsked, Field: "iam_user_name", Reason: "the order asks for use_existing_cur only"})
	p := readProblem(t, w.patch("/v1/orders/MP-1", map[string]any{"iam_user_name": "anna"}), http.StatusConflict, provision.CodeNotAsked)
	require.Equal(t, map[string]string{"iam_user_name": "the order asks for use_existing_cur only"}, fieldsOf(p))
	refuse(provision.Failure{Code: provision.CodeTooLate, Reason: "the order is already being undone"})
	readProblem(t, w.post("/v1/orders/MP-1/cancel", ""), http.StatusConflict, provision.CodeTooLate)
	clear(f.Newest)
	readProblem(t, w.post("/v1/orders/MP-1/fail", map[string]any{"reason": "because"}), http.StatusConflict, provision.CodeTooLate)

	sent := len(f.Updates)
	readProblem(t, w.send(w.otherKey, http.MethodPost, "/v1/orders/MP-1/cancel", ""), http.StatusNotFound, codeNotFound)
	require.Len(t, f.Updates, sent, "nothing was sent about another provider's order")
	require.False(t, bytes.Contains([]byte(w.log.String()), []byte("because")))
}
