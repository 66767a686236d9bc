package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"quartermaster/internal/apikey"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
	"quartermaster/internal/stockcsv"
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
	wholes   map[string][]string // the same as JSON, of fields that are no text
	keys     []string
	seen     map[string]map[int]int // answers by operation and status
}

func newFuzzer(t require.TestingT, w *testAPI) *fuzzer {
	c, err := loadContract()
	require.NoError(t, err)
	number := fuzzedAPIs.Add(1)
	orders, done := fuzzedOrders(w, number)
	w.workflows.questions = map[provision.OrderKey][]string{{Provider: "acme",
		ID: orders[3]}: slices.Sorted(maps.Keys(c.doc.Components.Schemas["OrderCorrection"].Value.Properties))}
	accounts, created := fuzzedAccounts(w, number)
	keyIDs := []string{"000000000000"}
	for range 3 { // one of them is sent twice at the most, so that every verb finds one that it may be used on
		_, key := apikey.New("acme", "to be found", provision.RoleViewer)
		_, err := w.store.APIKeys.Create(context.Background(), "test", key)
		require.NoError(t, err)
		keyIDs = append(keyIDs, key.ID)
	}
	hooks, deliveries := fuzzedWebhooks(t, w.store)
	keepFuzzedImport(t, w)
	running := fuzzedBatch(number, 0)
	_, err = w.store.Batches.Create(context.Background(), provision.NewBatch{BatchKey: provision.BatchKey{Provider: "acme", ID: running},
		Tenant: provision.Tenant{Provider: "acme"}, Actor: "test", Reason: "because", Expected: 1, RequestHash: make([]byte, 32),
		Selection: provision.BatchSelection{Verb: provision.BatchRetry, IDs: []string{orders[3]}}})
	require.NoError(t, err)
	boundTo := func(marketplace string) string {
		return w.createKeyOf("acme", provision.RoleMarketplace, func(k *provision.APIKey) { k.Marketplaces = []string{marketplace} })
	}
	f := &fuzzer{
		contract: c,
		names:    slices.Sorted(maps.Keys(c.operations)),
		keys: []string{w.key, w.key, w.key, w.key, w.key, w.otherKey, "", "qm_live_x_y", w.createKeyOf("acme",
			provision.RoleMarketplace), boundTo("nordic"), boundTo("south"), w.createKeyOf("acme", provision.RoleViewer)},
		seen: map[string]map[int]int{},
		wholes: map[string][]string{
			"orders":         {`{"ids":["` + orders[3] + `"]}`, `{"filter":{"state":["action_required"]}}`},
			"accounts":       {`{"ids":["` + accounts[3] + `"]}`, `{"filter":{"status":["invalid"]}}`},
			"expected_count": {"1", "1", "1", "2"},
		},
		hints: map[string][]string{
			"id": append([]string{orders[1], "n-1", "n-2", fuzzedBatch(number, 1), fuzzedBatch(number, 2)},
				slices.Repeat([]string{created}, 6)...),
			"batch_id":          {running, running, fuzzedBatch(number, 1), fuzzedBatch(number, 3)},
			"order_id":          {orders[0], orders[1], orders[2], orders[3], orders[3], orders[3], done.ID, "n-1", "unknown"},
			"account_id":        {accounts[3], accounts[3], accounts[2], accounts[4], accounts[4], accounts[0], created},
			"marketplace":       {"nordic"},
			"marketplaces":      {"nordic"},
			"model":             {"SPAM", "ECAM"},
			"account_model":     {"SPAM", "ECAM"},
			"role_arn":          {roleOf(created), roleOf(created), roleOf(created), roleOf(accounts[3]), roleOf(accounts[3])},
			"token":             {w.token(done)},
			"iam_user_name":     {"anna"},
			"aws_account_alias": {"berg"},
			"aws_contact_name":  {"Anna"},
			"root_email":        {created + "@b.example", "a+" + created + "@b.example", "b+" + created + "@b.example"},
			"name":              {"Anna"},
			"title":             {"Boss"},
			"query":             {"state=failed", "marketplace=nordic&limit=7"},
			"customer_id":       {"C-1"},
			"email":             {"a@b.example"},
			"phone":             {"+46 8 1"},
			"key_id":            keyIDs,
			"role":              {"viewer", "marketplace"},
			"expires_at":        {"2099-01-01T00:00:00Z"},
			"webhook_id":        hooks,
			"delivery_id":       deliveries,
			"url":               {"https://hooks.example.com/x", "https://hooks.example.com/y", "https://10.0.0.1/"},
			"type":              {"order.*", "order.accepted"},
			"event_types":       {"order.*", "order.accepted"},
			"Last-Event-ID":     {*encodeCursor(streamPosition{1}), *encodeCursor(streamPosition{1 << 40})},
			"If-Match":          append(slices.Repeat([]string{"*"}, 20), `"1"`, `"999"`, `W/"1"`, `"999", "1"`, `"abc"`, "1", `*, "1"`),
			"If-None-Match":     {"*", `"1"`, `W/"1"`, `"999", "1"`, "1", `"`},
			"created_after":     {"2026-11-22T10:00:00+23:59", "0001-01-01T00:00:00Z", "2026-11-21T00:00:00-23:59", "0001-01-01T00:00:00+01:00"},
			"created_before":    {"9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "2026-02-30T10:00:00Z", "2026-11-22T23:59:60Z"},
			"ended_after":       {"2026-11-22T10:00:00+23:59", "0001-01-01T00:00:00Z", "2026-11-21T00:00:00-23:59", "0001-01-01T00:00:00+01:00"},
			"ended_before":      {"9999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59", "2026-02-30T10:00:00Z", "2026-11-22T23:59:60Z"},
			"ended_since":       {"2026-11-22T10:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2026-02-30T10:00:00Z"},
			"search":            {orders[0], "o", "BERG", accounts[3], "C-1", `%_\`, "ÅÄÖ"},
			"number":            {"1", "2", "1000"},
			"since":             {"2026-11-22T10:00:00Z", "2026-11-22T10:00:00+23:59", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"},
			"reason":            {"because", " because\r\n", strings.Repeat("r", 500)},
			"note":              {"because", strings.Repeat("n", 500)},
			"text":              {"Account {account_id}"},
			"report_prefix":     {"cur"},
			"report_region":     {"eu-north-1", "us-east-1"},
			"import_id":         {fuzzedImport.ID, fuzzedImport.ID, fuzzedImport.ID, "6f0a9a0e-5f0c-4a43-9a53-0d5b0b7d3c12"},
			"dry_run":           {"true", "false"},
			"cursor": {
				*encodeCursor(provision.OrderCursor{CreatedAt: now, ID: orders[1]}),
				*encodeCursor(provision.AccountCursor{AddedAt: now, ID: accounts[3]}),
				*encodeCursor(provision.ImportResultCursor{Line: 2}),
				*encodeCursor(provision.ImportCursor{StartedAt: now, ID: fuzzedImport.ID}),
				*encodeCursor(provision.BatchCursor{StartedAt: now, ID: running}),
				*encodeCursor(provision.WebhookCursor{CreatedAt: now, ID: hooks[0]}), *encodeCursor(deliveryCursor{7}),
				*encodeCursor(streamPosition{1}), *encodeCursor(streamPosition{1 << 40}),
				*encodeCursor(json.RawMessage(`{"c":"2026-11-22T10:00:00+23:59","i":"o"}`)),
				*encodeCursor(json.RawMessage(`{"a":"9999-12-31T23:59:59-23:59","i":""}`)),
				*encodeCursor(json.RawMessage(`{"m":"\u0000","e":"\ud800"}`)), *encodeCursor(json.RawMessage(`{"s":9223372036854775807}`)),
				*encodeCursor(json.RawMessage(`{"e":9223372036854775807}`)), *encodeCursor(json.RawMessage(`{"l":1,"n":-1}`)),
			},
		},
	}
	return f
}

// fuzzedBatch is the id of a batch of that API.
func fuzzedBatch(number int64, n int) string {
	return fmt.Sprintf("0b2f7c1e-93c4-4a57-%04d-%012d", n, number)
}

// fuzzedAPIs numbers the APIs that share a database, so that each has orders and accounts of its own.
var fuzzedAPIs atomic.Int64

// fuzzedOrders creates an order in every state, and returns the ids of those that are not completed, and the one that is.
func fuzzedOrders(w *testAPI, number int64) (ids []string, done provision.OrderView) {
	w.nextAccount = 300000000000 + int(number)*10
	for i, state := range []provision.OrderState{provision.Accepted, provision.WaitingForAccount, provision.Provisioning,
		provision.ActionRequired, provision.Compensating, provision.Failed, provision.Cancelled} {
		order := w.createOrder(fmt.Sprintf("o-%d-%d", number, i), state, asking("aws_account_alias"), func(o *newOrder) {
			o.AcceptedAt = now.Add(-time.Duration(i) * time.Minute)
		})
		ids = append(ids, order.ID)
	}
	return ids, w.completedOrder(fmt.Sprintf("done-%d", number))
}

// fuzzedAccounts stocks an account in every status, and returns their ids and the id of an account that is not in stock.
func fuzzedAccounts(w *testAPI, number int64) (accounts []string, created string) {
	for i, status := range []provision.AccountStatus{provision.AccountProvisioning, provision.AccountAllocated,
		provision.AccountProvisioningFailed, provision.AccountReady, provision.AccountInvalid} {
		accounts = append(accounts, fmt.Sprintf("1%010d%d", number, i))
		w.stockAccount(w.t, accounts[i], status)
	}
	return accounts, fmt.Sprintf("2%011d", number)
}

func roleOf(accountID string) string { return "arn:aws:iam::" + accountID + ":role/Q" }

func briefStreams(c *Config) { c.StreamLifetime = time.Millisecond }

// fuzzed makes streams brief, and the test the proxy of the API.
func fuzzed(c *Config) {
	briefStreams(c)
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}
}

// forwardedFor are addresses as proxies write them, and what clients make up.
var forwardedFor = []string{"203.0.113.9", "203.0.113.9:4711", "2001:db8::9", "[2001:db8::9]:4711", "fe80::9%eth0", "::ffff:203.0.113.9",
	"64:ff9b::203.0.113.9", "203.0.113.9, 192.0.2.1", " 203.0.113.9 ,, ", "unknown", "_hidden", "", ",", "203.0.113.9:", "[::1", "%", "1.2.3"}

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
			require.NoError(t, store.Webhooks.Delete(ctx, "test", provision.WebhookKey{Provider: "acme", ID: w.ID}, 0, ""))
		}
	}
	for i := range 3 {
		key := provision.WebhookKey{Provider: "acme", ID: uuid.NewString()}
		_, err := store.Webhooks.Create(ctx, "test", provision.Webhook{ID: key.ID, Provider: key.Provider,
			URL: "https://hooks.example.com/"}, []byte("sealed"))
		require.NoError(t, err)
		tested, err := store.Webhooks.Test(ctx, "test", key)
		require.NoError(t, err)
		hooks = append(hooks, key.ID, key.ID)
		deliveries = append(deliveries, tested.ID)
		if i == 2 { // a disabled one refuses most: it is drawn more often, with its delivery
			hooks, deliveries = append(hooks, key.ID, key.ID), append(deliveries, tested.ID, tested.ID)
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
			written := url.PathEscape(text)
			if oneIn(t, 40, "escaped twice") {
				written = url.PathEscape("%" + fmt.Sprintf("%02X", text[0]) + text[1:])
			}
			path = strings.ReplaceAll(path, "{"+p.Value.Name+"}", written)
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
		if oneIn(t, 2, "a proxy") {
			forwarded := rapid.OneOf(rapid.SampledFrom(forwardedFor), rapid.String()).Draw(t, "X-Forwarded-For")
			if printable(forwarded) {
				c.headers["X-Forwarded-For"] = forwarded
			}
		}
		c.target = path
		if len(query) > 0 {
			c.target += "?" + query.Encode()
		}
		if oneIn(t, 80, "a query that cannot be read") {
			c.target += rapid.SampledFrom([]string{"?limit=%zz", "?limit=5;state=failed", "?cursor=%FF", "?cursor=%00", "?%00=1", "?limit=6e1",
				"?created_after=2026-11-22T10:00:00%2B23:59&created_before=2026-11-20T10:00:00Z"}).Draw(t, "query")
		}
		if oneIn(t, 80, "content coding") {
			c.headers["Content-Encoding"] = rapid.SampledFrom([]string{"gzip", "identity", "br, gzip", ""}).Draw(t, "coding")
		}
		if op.RequestBody != nil {
			if op.takesFile() {
				c.body = f.file(t)
			} else {
				body := f.value(t, "", op.RequestBody.Value.Content[op.mediaType].Schema.Value)
				for range rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3}).Draw(t, "spoilt fields") {
					body = f.spoil(t, body)
				}
				c.body, _ = json.Marshal(body)
				if oneIn(t, 12, "twisted") {
					c.body = twisted(t, c.body)
				}
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
				"application/json;", "text/csv; charset=latin1", "application/json; charset=utf-16", "APPLICATION/JSON",
				"application/json, text/csv"}).Draw(t, "type")
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
	if wholes := f.wholes[name]; len(wholes) > 0 && !oneIn(t, 6, "no whole") {
		var whole any
		_ = json.Unmarshal([]byte(rapid.SampledFrom(wholes).Draw(t, name)), &whole) // valid JSON
		return whole
	}
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

// someNumber and someText are places in a JSON text where twisted may put another value.
var (
	someNumber = regexp.MustCompile(`:-?[0-9.]+`)
	someText   = regexp.MustCompile(`:"[^"]*"`)
)

// twisted changes the text of a JSON body in a way that readers could understand differently, or that a handler could not decode.
func twisted(t *rapid.T, body []byte) []byte {
	text := string(body)
	in := func(place *regexp.Regexp, value string) string {
		at := place.FindAllStringIndex(text, -1)
		if len(at) == 0 {
			return value
		}
		chosen := at[rapid.IntRange(0, len(at)-1).Draw(t, "place")]
		return text[:chosen[0]+1] + value + text[chosen[1]:]
	}
	number := rapid.SampledFrom([]string{"60.0", "6e1", "1e400", "-0", "99999999999999999999", "60.00000000000000000000001",
		"1e-999999999", "0.5"})
	words := rapid.SampledFrom([]string{`"\ud800"`, `"a\u0000b"`, `"\u202eanna"`, `"a\u200bb"`, `" anna "`, `"\u2028"`, "\"\xff\"", `"\u3164"`,
		`"2026-11-22T10:00:00+23:59"`, `"\ud83d\ude80"`, `""`})
	switch rapid.IntRange(0, 7).Draw(t, "twist") {
	case 0, 1:
		return []byte(in(someNumber, number.Draw(t, "number")))
	case 2, 3, 4:
		return []byte(in(someText, words.Draw(t, "text")))
	case 5: // the first member twice
		first, rest, _ := strings.Cut(strings.TrimPrefix(text, "{"), ",")
		return []byte("{" + strings.TrimSuffix(first, "}") + "," + first + "," + rest)
	case 6:
		return []byte(rapid.SampledFrom([]string{"\ufeff" + text, text + "{}", text + "]", strings.Repeat("[", 5000)}).Draw(t, "around"))
	}
	return []byte(in(someText, strings.Repeat(`{"a":`, 40)+"1"+strings.Repeat("}", 40)))
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

// fuzzedImport is an import that the requests hit.
var fuzzedImport = provision.ImportKey{Provider: "acme", ID: "6f0a9a0e-5f0c-4a43-9a53-0d5b0b7d3c11"}

// keepFuzzedImport makes that import, once in a database.
func keepFuzzedImport(t require.TestingT, w *testAPI) {
	ctx := context.Background()
	if _, err := w.store.Imports.Get(ctx, fuzzedImport); !errors.Is(err, provision.ErrNotFound) {
		require.NoError(t, err)
		return
	}
	file, err := stockcsv.Scan([]byte(csvFile("777788880001", "777788880002") + "x\n"))
	require.NoError(t, err)
	_, err = w.store.Imports.Create(ctx, provision.NewImport{ImportKey: fuzzedImport, Actor: "test", File: file.Text,
		Rows: file.Rows, NextOffset: file.First.Offset, NextLine: file.First.Line})
	require.NoError(t, err)
	require.NoError(t, w.workflows.ImportKept(ctx, fuzzedImport))
}

// file draws a CSV file of accounts: good rows, rows of junk, and now and then a header of junk.
func (f *fuzzer) file(t *rapid.T) []byte {
	var text bytes.Buffer
	out := csv.NewWriter(&text)
	out.Comma = rapid.SampledFrom([]rune{',', ',', ';', '\t'}).Draw(t, "separator")
	header := rapid.Permutation(stockcsv.Required).Draw(t, "header")
	if oneIn(t, 8, "a spoilt header") {
		header = append(header[rapid.IntRange(0, 2).Draw(t, "columns less"):], rapid.SampledFrom(append(stockcsv.Exported,
			"junk")).Draw(t, "a column more"))
	}
	_ = out.Write(header) // to memory
	schema := f.contract.doc.Components.Schemas["NewAccount"].Value
	for range rapid.IntRange(0, 5).Draw(t, "rows") {
		row := make([]string, len(header))
		for i, column := range header {
			property := schema.Properties[cmp.Or(map[string]string{stockcsv.AccountID: "id"}[column], column)]
			if property == nil || oneIn(t, 20, "a cell of junk") {
				row[i] = rapid.String().Draw(t, "cell")
			} else {
				row[i] = fmt.Sprint(f.value(t, column, property.Value))
			}
		}
		_ = out.Write(row) // as above
	}
	out.Flush()
	if oneIn(t, 8, "a raw line") {
		text.WriteString(rapid.StringMatching(`[",;a\n\r]{0,20}`).Draw(t, "line"))
	}
	return text.Bytes()
}
