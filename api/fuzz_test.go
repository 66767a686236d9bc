package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quartermaster/api/openapi"
	"quartermaster/internal/apikey"
	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

// The seed is fixed, so that every run sends the same requests, and what one run has reached the next one reaches too;
// `go test -rapid.seed=0 -rapid.checks=1000` sends others, and more.
func init() {
	for name, value := range map[string]string{"rapid.seed": "20261125", "rapid.nofailfile": "true"} {
		if err := flag.Set(name, value); err != nil {
			panic(err)
		}
	}
}

// call is one request that the fuzzer sends.
type call struct {
	op                                *operation
	method, target, auth, contentType string
	params                            map[string]string
	headers                           map[string]string
	body                              []byte
}

func (c call) String() string {
	return fmt.Sprintf("%s %s %q %.500s", c.method, c.target, c.contentType, c.body)
}

// fuzzer draws requests from the document, valid ones and spoilt ones, and checks every answer against it.
type fuzzer struct {
	contract *contract
	names    []string            // of the operations
	hints    map[string][]string // values of a field that hit something, by the field's name
	keys     []string
	seen     map[string]map[int]int // answers by operation and status
}

func newFuzzer(t require.TestingT, w *testAPI) *fuzzer {
	c, err := loadContract()
	require.NoError(t, err)
	for i, state := range []provision.OrderState{provision.Accepted, provision.WaitingForAccount, provision.Provisioning,
		provision.ActionRequired, provision.Compensating, provision.Failed, provision.Cancelled} {
		o := completedOrder(fmt.Sprintf("o-%d", i))
		o.State, o.Result, o.Password, o.AcceptedAt = state, nil, nil, now.Add(-time.Duration(i)*time.Minute)
		o.Waiting = &provision.QueuePlace{Place: 1, Why: "0 of 0 accounts match"}
		o.Failure = &provision.Failure{Code: provision.CodeAliasTaken, Field: "aws_account_alias", Reason: "taken"}
		w.store.orders = append(w.store.orders, o)
	}
	w.store.orders = append(w.store.orders, completedOrder("done-1"))
	w.workflows.questions = map[provision.OrderKey][]string{{Provider: "acme",
		ID: "o-3"}: slices.Sorted(maps.Keys(c.doc.Components.Schemas["OrderCorrection"].Value.Properties))}
	for i, status := range []provision.AccountStatus{provision.AccountReady, provision.AccountProvisioning, provision.AccountAllocated,
		provision.AccountProvisioningFailed, provision.AccountInvalid} {
		a := accountOf(openapi.NewAccount{ID: fmt.Sprintf("11112222333%d", i), Marketplace: "nordic", Environment: provision.Production,
			Model: provision.ModelSPAM, Name: "n", RootEmail: fmt.Sprintf("a+%d@b.example",
				i), RoleARN: fmt.Sprintf("arn:aws:iam::11112222333%d:role/Q", i)}, "acme")
		a.Status, a.ExternalID, a.AddedAt, a.StatusSince, a.Version = status, provision.NewExternalID(), now.Add(time.Duration(i)*time.Minute), now, 1
		w.store.accounts = append(w.store.accounts, a)
	}
	keyIDs := []string{"000000000000"}
	for range 3 { // one of them is sent twice at the most, so that every verb finds one that it may be used on
		_, key := apikey.New("acme", "to be found", provision.RoleViewer)
		_, err := w.store.db.APIKeys.Create(context.Background(), "test", key)
		require.NoError(t, err)
		keyIDs = append(keyIDs, key.ID)
	}
	hooks, deliveries := fuzzedWebhooks(t, w.store.db)
	keepFuzzedImport(t, w)
	f := &fuzzer{
		contract: c,
		names:    slices.Sorted(maps.Keys(c.operations)),
		keys: []string{w.key, w.key, w.key, w.key, w.key, w.otherKey, "", "qm_live_x_y", w.createKeyOf("acme",
			provision.RoleMarketplace), w.createKeyOf("acme", provision.RoleViewer)},
		seen: map[string]map[int]int{},
		hints: map[string][]string{
			"id": append([]string{"o-1", "n-1", "n-2"}, slices.Repeat([]string{"222233334444"}, 6)...), "order_id": {"o-0", "o-1", "o-2",
				"o-3", "o-3", "o-3", "done-1", "n-1", "unknown"},
			"account_id": {"111122223330", "111122223330", "111122223333", "111122223334", "111122223334", "111122223331",
				"222233334444"}, "marketplace": {"nordic"}, "model": {"SPAM", "ECAM"}, "account_model": {"SPAM", "ECAM"},
			"role_arn": {"arn:aws:iam::222233334444:role/Q", "arn:aws:iam::222233334444:role/Q", "arn:aws:iam::222233334444:role/Q",
				"arn:aws:iam::111122223330:role/Q", "arn:aws:iam::111122223330:role/Q"}, "token": {w.token()}, "iam_user_name": {"anna"}, "aws_account_alias": {"berg"},
			"aws_contact_name": {"Anna"}, "root_email": {"a@b.example"}, "name": {"Anna"}, "title": {"Boss"}, "email": {"a@b.example"},
			"phone":  {"+46 8 1"},
			"key_id": keyIDs, "role": {"viewer", "marketplace"}, "expires_at": {"2099-01-01T00:00:00Z"},
			"webhook_id": hooks, "delivery_id": deliveries, "url": {"https://hooks.example.com/x", "https://hooks.example.com/y",
				"https://10.0.0.1/"}, "type": {"order.*", "order.accepted"}, "event_types": {"order.*", "order.accepted"},
			"Last-Event-ID": {*encodeCursor(streamPosition{1}), *encodeCursor(streamPosition{1 << 40})},
			"If-Match":      {"*", "*", `"1"`, `"999"`}, "reason": {"because", strings.Repeat("r", 500)},
			"note": {"because", strings.Repeat("n",
				500)}, "text": {"Account {account_id}"}, "report_prefix": {"cur"}, "report_region": {"eu-north-1", "us-east-1"},
			"import_id": {fuzzedImport.ID, fuzzedImport.ID, fuzzedImport.ID, "6f0a9a0e-5f0c-4a43-9a53-0d5b0b7d3c12"}, "dry_run": {"true", "false"},
			"cursor": {*encodeCursor(provision.OrderCursor{CreatedAt: now, ID: "o-1"}),
				*encodeCursor(provision.AccountCursor{AddedAt: now, ID: "111122223330"}),
				*encodeCursor(provision.ImportResultCursor{Line: 2}), *encodeCursor(provision.ImportCursor{StartedAt: now, ID: fuzzedImport.ID}),
				*encodeCursor(provision.WebhookCursor{CreatedAt: now,
					ID: hooks[0]}), *encodeCursor(deliveryCursor{7}), *encodeCursor(streamPosition{1}), *encodeCursor(streamPosition{1 << 40})},
		},
	}
	return f
}

func briefStreams(c *Config) { c.StreamLifetime = time.Millisecond }

// A stream is text; kin-openapi has to be told.
func init() {
	openapi3filter.RegisterBodyDecoder("text/event-stream", openapi3filter.PlainBodyDecoder)
}

// fuzzedWebhooks makes endpoints in several states, each with a delivery, and returns their ids.
func fuzzedWebhooks(t require.TestingT, store *postgres.DB) (hooks, deliveries []string) {
	ctx, no := context.Background(), false
	order := provision.Order{OrderKey: provision.OrderKey{Provider: "acme", ID: "with-callback"}, AcceptedAt: now, Request: requestFixture()}
	order.Request.CallbackURL = "https://hooks.example.com/callback"
	_, err := store.Orders.Open(ctx, order)
	require.NoError(t, err)
	earlier, err := store.Webhooks.List(ctx, "acme", nil, 100)
	require.NoError(t, err)
	for _, w := range earlier { // those of an earlier API would only take time
		if w.Kind != provision.WebhookCallback {
			require.NoError(t, store.Webhooks.Delete(ctx, "test", provision.WebhookKey{Provider: "acme", ID: w.ID}, 0))
		}
	}
	for i := range 3 {
		key := provision.WebhookKey{Provider: "acme", ID: uuid.NewString()}
		_, err := store.Webhooks.Create(ctx, "test", provision.Webhook{ID: key.ID, Provider: key.Provider,
			URL: "https://hooks.example.com/"}, []byte("sealed"))
		require.NoError(t, err)
		require.NoError(t, store.Webhooks.Test(ctx, "test", key))
		hooks = append(hooks, key.ID, key.ID)
		next, err := store.Deliveries.Next(ctx, key)
		require.NoError(t, err)
		deliveries = append(deliveries, next.ID)
		if i == 2 { // a disabled one refuses most: it is drawn more often, with its delivery
			hooks, deliveries = append(hooks, key.ID, key.ID), append(deliveries, next.ID, next.ID)
			_, err := store.Webhooks.Update(ctx, "test", key, 0, provision.WebhookUpdate{Enabled: &no})
			require.NoError(t, err)
		}
	}
	found, err := store.Webhooks.List(ctx, "acme", nil, 1)
	require.NoError(t, err)
	return append(hooks, found[0].ID, found[0].ID, found[0].ID, uuid.NewString()), append(deliveries, uuid.NewString())
}

// calls draws requests.
func (f *fuzzer) calls() *rapid.Generator[call] {
	return rapid.Custom(func(t *rapid.T) call {
		name := rapid.SampledFrom(f.names).Draw(t, "operation")
		op := f.contract.operations[name]
		c := call{op: op, method: op.route.Method, params: map[string]string{}, headers: map[string]string{},
			contentType: cmp.Or(op.mediaType, "application/json")}
		c.auth = rapid.SampledFrom(f.keys).Draw(t, "key")
		path := op.route.Path
		for _, p := range op.route.PathItem.Parameters {
			text := f.parameter(t, p.Value)
			if text == "" {
				text = "-"
			}
			c.params[p.Value.Name] = text
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", url.PathEscape(text))
		}
		query := url.Values{}
		for _, p := range op.Parameters {
			if p.Value.In == openapi3.ParameterInHeader {
				if text := f.parameter(t, p.Value); !oneIn(t, 4, "no header") && printable(text) {
					c.headers[p.Value.Name] = text
				}
				continue
			}
			for rapid.IntRange(0, 3).Draw(t, "given") == 0 {
				query.Add(p.Value.Name, f.parameter(t, p.Value))
			}
		}
		if oneIn(t, 25, "stray parameter") {
			query.Set(rapid.String().Draw(t, "name"), "1")
		}
		c.target = path
		if len(query) > 0 {
			c.target += "?" + query.Encode()
		}
		if op.RequestBody != nil {
			if op.maxBytes > 0 {
				c.body = f.file(t)
			} else {
				body := f.value(t, "", op.RequestBody.Value.Content[op.mediaType].Schema.Value)
				for range rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3}).Draw(t, "spoilt fields") {
					body = f.spoil(t, body)
				}
				c.body, _ = json.Marshal(body)
			}
			if !op.RequestBody.Value.Required && oneIn(t, 3, "no body") {
				c.body = nil
			}
			switch rapid.IntRange(0, 29).Draw(t, "spoilt body") {
			case 0:
				c.body = c.body[:rapid.IntRange(0, len(c.body)).Draw(t, "cut")]
			case 1:
				c.body = rapid.SliceOf(rapid.Byte()).Draw(t, "junk")
			case 2:
				c.body = append(c.body, bytes.Repeat([]byte(" "), 64<<10)...)
			}
		}
		if oneIn(t, 20, "content type") {
			c.contentType = rapid.SampledFrom([]string{"", "text/plain", "application/xml", "application/json; charset=utf-8",
				"application/json;", "text/csv; charset=latin1"}).Draw(t, "type")
		}
		if oneIn(t, 30, "method") {
			c.method = rapid.SampledFrom([]string{http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodHead, http.MethodGet,
				http.MethodPost}).Draw(t, "other method")
		}
		return c
	})
}

// printable reports whether net/http accepts a text as the value of a header.
func printable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

func oneIn(t *rapid.T, n int, label string) bool {
	return rapid.IntRange(0, n-1).Draw(t, label) == n-1
}

func (f *fuzzer) parameter(t *rapid.T, p *openapi3.Parameter) string {
	if oneIn(t, 12, "junk parameter") {
		return rapid.OneOf(rapid.String(), rapid.Just("-1"), rapid.Just("201"), rapid.Just("9999999999999999999999")).Draw(t, "junk")
	}
	schema := p.Schema.Value
	if schema.Type.Is("array") {
		schema = schema.Items.Value
	}
	return fmt.Sprint(f.value(t, p.Name, schema))
}

// value draws what the schema allows.
func (f *fuzzer) value(t *rapid.T, name string, s *openapi3.Schema) any {
	if hints := f.hints[name]; len(hints) > 0 && !oneIn(t, 6, "no hint") {
		return rapid.SampledFrom(hints).Draw(t, name)
	}
	switch {
	case s.Type.IncludesNull() && oneIn(t, 3, "null"):
		return nil
	case len(s.Enum) > 0:
		return rapid.SampledFrom(s.Enum).Draw(t, name)
	case s.Type.Is("object"):
		object := map[string]any{}
		for _, field := range slices.Sorted(maps.Keys(s.Properties)) {
			if slices.Contains(s.Required, field) || rapid.Bool().Draw(t, "with "+field) {
				object[field] = f.value(t, field, s.Properties[field].Value)
			}
		}
		return object
	case s.Type.Is("array"):
		items := []any{}
		for range rapid.IntRange(int(s.MinItems), 2).Draw(t, name+" items") {
			items = append(items, f.value(t, name, s.Items.Value))
		}
		return items
	case s.Type.Is("boolean"):
		return rapid.Bool().Draw(t, name)
	case s.Type.Is("number"):
		return rapid.Float64Range(*s.Min, *s.Max).Draw(t, name)
	case s.Type.Includes("integer"):
		return rapid.IntRange(int(*s.Min), int(*s.Max)).Draw(t, name)
	case s.Format == "date-time":
		return time.Unix(rapid.Int64Range(0, 4e9).Draw(t, name), 0).UTC().Format(time.RFC3339)
	case s.Format == "uri":
		return "https://market.example/" + rapid.StringMatching(`[a-z]{0,20}`).Draw(t, name)
	case s.Pattern != "":
		text := rapid.StringMatching(s.Pattern).Draw(t, name)
		if s.MaxLength != nil && uint64(len(text)) > *s.MaxLength {
			text = text[:*s.MaxLength]
		}
		return text
	}
	return rapid.StringN(int(s.MinLength), 60, -1).Draw(t, name)
}

// spoil changes one field somewhere in the body.
func (f *fuzzer) spoil(t *rapid.T, body any) any {
	object, ok := body.(map[string]any)
	if !ok || len(object) == 0 {
		return f.junk(t)
	}
	field := rapid.SampledFrom(slices.Sorted(maps.Keys(object))).Draw(t, "field")
	switch rapid.IntRange(0, 9).Draw(t, "how") {
	case 0:
		delete(object, field)
	case 1:
		object[rapid.String().Draw(t, "unknown field")] = f.junk(t)
	case 2:
		object[strings.ToUpper(field)] = object[field]
	case 3:
		return f.junk(t)
	default:
		if _, nested := object[field].(map[string]any); nested {
			object[field] = f.spoil(t, object[field])
		} else {
			object[field] = f.junk(t)
		}
	}
	return object
}

func (f *fuzzer) junk(t *rapid.T) any {
	return rapid.OneOf(
		rapid.Just[any](nil), rapid.Just[any](true), rapid.Just[any](1e300), rapid.Just[any](-1), rapid.Just[any](""),
		rapid.Just[any]([]any{1, "a"}),
		rapid.Just[any](map[string]any{"a": 1}), rapid.Just[any](strings.Repeat("ä",
			300)), rapid.Just[any]("a\x00b"), rapid.Just[any]("'; DROP TABLE orders; --"),
		rapid.Map(rapid.String(), func(s string) any { return s }),
	).Draw(t, "junk")
}

// finding of the fuzzer: an answer that breaks the contract; nil is none.
func (f *fuzzer) try(handler http.Handler, c call) error {
	r := httptest.NewRequest(c.method, c.target, bytes.NewReader(c.body))
	if c.contentType != "" {
		r.Header.Set("Content-Type", c.contentType)
	}
	if c.auth != "" {
		r.Header.Set("Authorization", "Bearer "+c.auth)
	}
	for name, text := range c.headers {
		r.Header.Set(name, text)
	}
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, r)
	status, body := recorder.Code, recorder.Body.Bytes()
	if status >= 500 {
		return fmt.Errorf("%s → %d %s", c, status, body)
	}
	if c.method == http.MethodHead {
		return nil
	}
	if status >= 400 {
		if got := recorder.Header().Get("Content-Type"); got != "application/problem+json" {
			return fmt.Errorf("%s → %d as %q", c, status, got)
		}
		var document any
		if err := json.Unmarshal(body, &document); err != nil {
			return fmt.Errorf("%s → %d, not JSON: %w", c, status, err)
		}
		if err := f.contract.doc.Components.Schemas["Problem"].Value.VisitJSON(document, openapi3.MultiErrors()); err != nil {
			return fmt.Errorf("%s → %d, not a problem: %w", c, status, err)
		}
	}
	op := f.operationAt(c.method, r.URL.EscapedPath())
	if op == nil { // the method was spoilt
		if status != http.StatusMethodNotAllowed && status != http.StatusRequestEntityTooLarge {
			return fmt.Errorf("%s → %d, neither 405 nor 413", c, status)
		}
		return nil
	}
	if f.seen[op.OperationID] == nil {
		f.seen[op.OperationID] = map[int]int{}
	}
	f.seen[op.OperationID][status]++
	err := openapi3filter.ValidateResponse(r.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, Route: op.route, PathParams: c.params},
		Status:                 status,
		Header:                 recorder.Header(),
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	})
	if err != nil {
		return fmt.Errorf("%s → %d breaks the contract: %w", c, status, err)
	}
	return nil
}

// operationAt is the operation that answers an address, the same words before a parameter: GET /v1/orders/validate reads
// the order "validate".
func (f *fuzzer) operationAt(method, path string) (found *operation) {
	for _, name := range f.names {
		op := f.contract.operations[name]
		parts, wanted := strings.Split(path, "/"), strings.Split(op.route.Path, "/")
		if op.route.Method != method || len(parts) != len(wanted) {
			continue
		}
		fits, exact := true, true
		for i := range wanted {
			if parts[i] != wanted[i] {
				exact = false
				fits = fits && strings.HasPrefix(wanted[i], "{")
			}
		}
		if exact {
			return op
		}
		if fits {
			found = op
		}
	}
	return found
}

// Thousands of requests, and every answer keeps to the document: no 5xx, every refusal a problem.
func TestEveryAnswerKeepsToTheDocument(t *testing.T) {
	t.Parallel()
	seen := map[string]map[int]int{}
	stored := stockedStore(t, pgtest.New(t))
	alerts := alertIDs(t, stored)
	runOnce := func(rt *rapid.T) (operations int) {
		w := setup(rt, briefStreams)
		w.use(rt, stored)
		f := newFuzzer(rt, w)
		f.seen, f.hints["alert_id"] = seen, alerts
		for range 150 {
			c := f.calls().Draw(rt, "call")
			for range rapid.IntRange(1, 2).Draw(rt, "times") { // the second time it is there already, or used up
				if err := f.try(w.handler, c); err != nil {
					rt.Fatal(err)
				}
			}
		}
		return len(f.names)
	}
	rapid.Check(t, func(rt *rapid.T) {
		for left := runOnce(rt); left > 20; left -= 20 { // fresh APIs, in proportion to what there is to reach
			runOnce(rt)
		}
	})
	// The fuzzer must have reached what it is there for, or it proves nothing.
	for operation, statuses := range map[string][]int{
		"createOrder":   {200, 202, 400, 401, 403, 409, 413, 415, 422},
		"validateOrder": {200, 400, 401, 422},
		"listOrders":    {200, 400, 401},
		"getOrder":      {200, 400, 401, 404},
		"correctOrder":  {200, 400, 401, 404, 409, 422},
		"cancelOrder":   {202, 400, 401, 404, 409, 422},
		"retryOrder":    {202, 400, 401, 403, 404, 409, 422},
		"failOrder":     {202, 400, 401, 404, 409, 422},
		"endUndo":       {202, 400, 401, 404, 409, 422},
		"swapOrder":     {202, 400, 401, 404, 409, 422},
		"createAccount": {201, 400, 401, 409, 422},
		"listAccounts":  {200, 400, 401},
		"getAccount":    {200, 400, 401, 404},

		"updateAccount":      {200, 400, 401, 404, 422, 428},
		"deleteAccount":      {204, 400, 401, 404, 412, 428},
		"invalidateAccount":  {200, 400, 401, 404, 409, 422},
		"returnAccount":      {202, 400, 401, 404, 409, 422},
		"removeLeftovers":    {202, 400, 401, 404, 409, 422},
		"verifyAccount":      {202, 400, 401, 404, 409},
		"listAccountHistory": {200, 400, 401, 404},

		"listAPIKeys":              {200, 400, 401, 403},
		"createAPIKey":             {201, 400, 401, 403, 422},
		"getAPIKey":                {200, 401, 403, 404},
		"rotateAPIKey":             {201, 401, 403, 404, 409, 422},
		"revokeAPIKey":             {200, 401, 403, 404},
		"listPools":                {200, 400, 401},
		"createPool":               {201, 401, 409, 422},
		"getPool":                  {200, 400, 401, 404},
		"updatePool":               {200, 401, 404, 412, 422, 428},
		"listPoolHistory":          {200, 400, 401, 404},
		"listProtectedAccounts":    {200, 400, 401},
		"protectAccount":           {200, 400, 401, 422},
		"unprotectAccount":         {204, 400, 401, 404},
		"getStock":                 {200, 400, 401},
		"listStockAlerts":          {200, 400, 401},
		"acknowledgeStockAlert":    {200, 400, 401, 404, 409, 422},
		"createWebhook":            {201, 400, 401, 422},
		"listWebhooks":             {200, 400, 401},
		"getWebhook":               {200, 400, 401, 404},
		"updateWebhook":            {200, 400, 401, 404, 409, 412, 422, 428},
		"deleteWebhook":            {204, 400, 401, 404, 409, 412, 428},
		"rotateWebhookSecret":      {200, 400, 401, 404, 409, 422},
		"testWebhook":              {202, 400, 401, 404, 409},
		"replayWebhook":            {202, 400, 401, 404, 409, 422},
		"listDeliveries":           {200, 400, 401, 404},
		"getDelivery":              {200, 400, 401, 404},
		"resendDelivery":           {202, 400, 401, 404, 409},
		"getCallbackSecret":        {200, 401},
		"rotateCallbackSecret":     {200, 401, 422},
		"listEvents":               {200, 400, 401, 410},
		"streamEvents":             {200, 400, 401, 410},
		"exportAccounts":           {200, 400, 401},
		"importAccounts":           {202, 400, 401, 415, 422},
		"listAccountImports":       {200, 400, 401},
		"getAccountImport":         {200, 400, 401, 404},
		"listAccountImportResults": {200, 400, 401, 404},
		"getAccountImportTemplate": {200, 400, 401},

		"revealPassword": {200, 400, 404, 410, 422},
		"getOpenAPI":     {200},
	} {
		for _, status := range statuses {
			require.Positive(t, seen[operation][status], "the fuzzer never got %d from %s: %v", status, operation, seen[operation])
		}
	}
}

// The fuzzer finds bugs of each kind that it claims to find.
func TestTheFuzzerFindsInjectedFaults(t *testing.T) {
	t.Parallel()
	for name, bug := range map[string]func(*httptest.ResponseRecorder){
		"a 422 that became a 500": func(answer *httptest.ResponseRecorder) {
			if answer.Code == http.StatusUnprocessableEntity {
				answer.Code = http.StatusInternalServerError
			}
		},
		"a refusal in plain text": func(answer *httptest.ResponseRecorder) {
			if answer.Code == http.StatusNotFound {
				answer.Header().Set("Content-Type", "text/plain")
			}
		},
		"a problem without its code": func(answer *httptest.ResponseRecorder) {
			if answer.Code >= 400 {
				without(answer, "code")
			}
		},
		"an order without its state": func(answer *httptest.ResponseRecorder) {
			if answer.Code == http.StatusAccepted {
				without(answer, "state")
			}
		},
		"a new order without Location": func(answer *httptest.ResponseRecorder) {
			if answer.Code == http.StatusAccepted {
				answer.Header().Del("Location")
			}
		},
		"a status that is not documented": func(answer *httptest.ResponseRecorder) {
			if answer.Code == http.StatusCreated {
				answer.Code = http.StatusOK
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t, briefStreams)
			w.use(t, database(t))
			f := newFuzzer(t, w)
			broken := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				answer := httptest.NewRecorder()
				w.handler.ServeHTTP(answer, r)
				bug(answer)
				maps.Copy(rw.Header(), answer.Header())
				rw.WriteHeader(answer.Code)
				_, _ = rw.Write(answer.Body.Bytes())
			})
			calls := f.calls()
			found := errors.New("")
			for seed := range 2000 {
				if found = f.try(broken, calls.Example(seed)); found != nil {
					break
				}
			}
			require.Error(t, found, "2000 requests and the bug was not found")
		})
	}
}

// The same requests find nothing when nothing is wrong, so that a finding above is the bug's.
func TestTheFuzzerFindsNothingWithoutFaults(t *testing.T) {
	t.Parallel()
	w := setup(t, briefStreams)
	w.use(t, database(t))
	f := newFuzzer(t, w)
	calls := f.calls()
	for seed := range 500 {
		require.NoError(t, f.try(w.handler, calls.Example(seed)))
	}
}

func without(answer *httptest.ResponseRecorder, field string) {
	var body map[string]any
	if json.Unmarshal(answer.Body.Bytes(), &body) != nil {
		return
	}
	delete(body, field)
	answer.Body.Reset()
	_ = json.NewEncoder(answer.Body).Encode(body)
}
