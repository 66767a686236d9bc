package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

// walk sends every operation of openapi.yaml with a key of every role, of the provider acme and of another one, and looks what
// the answers and the database show. The table and the fixtures are in setup_isolation_test.go.
type walk struct {
	*testAPI
	t         *testing.T
	database  *postgres.DB
	db        *sqlx.DB
	told      *recordingWorkflows
	contract  *contract // read apart from the server's: a server that errs about a scope must not err with it
	table     map[string]walked
	around    http.Handler
	keys      map[string]map[provision.Role]string // by provider; those of role marketplace are bound to nordic
	sibling   string                               // a key of acme that is bound to another marketplace
	shared    map[string]string                    // names of resources of acme that no call may change
	everybody []string                             // ids of everything of acme's that is shared
	number    int
	findings  []string
	shown     map[string]bool // markers that acme has seen
}

// recordingWorkflows does nothing and records the orders that the API named.
type recordingWorkflows struct{ keys []provision.OrderKey }

func (w *recordingWorkflows) StartOrder(_ context.Context, order provision.Order, _ []byte) (bool, *provision.Order, []byte, error) {
	return true, nil, nil, w.tell(order.OrderKey)
}

func (w *recordingWorkflows) OrderNotYetStored(context.Context, provision.Tenant, string) (*provision.Order, error) {
	return nil, provision.ErrNotFound
}

func (w *recordingWorkflows) Correct(_ context.Context, key provision.OrderKey, _ provision.Correction, _ provision.Intervention) error {
	return w.tell(key)
}

func (w *recordingWorkflows) Act(_ context.Context, key provision.OrderKey, _ string, _ provision.Intervention) error {
	return w.tell(key)
}

func (w *recordingWorkflows) WakeWebhooks(context.Context, []provision.WebhookKey) error { return nil }

func (w *recordingWorkflows) StartImport(context.Context, provision.ImportKey) error { return nil }

func (w *recordingWorkflows) ImportKept(context.Context, provision.ImportKey) error { return nil }

func (w *recordingWorkflows) StartBatch(context.Context, provision.BatchKey) error { return nil }

func (w *recordingWorkflows) BatchKept(context.Context, provision.BatchKey) error { return nil }

func (w *recordingWorkflows) VerifyDue(context.Context) error { return nil }

func (w *recordingWorkflows) RemoveLeftovers(context.Context, provision.LeftoverRemoval) error {
	return nil
}

func (w *recordingWorkflows) IssuePassword(_ context.Context, key provision.OrderKey, _ provision.PasswordRequest,
	_ time.Duration) (outcome provision.PasswordOutcome, ended bool, err error) {
	return outcome, true, w.tell(key)
}

func (w *recordingWorkflows) WakeOrders(_ context.Context, keys []provision.OrderKey) error {
	return w.tell(keys...)
}

func (w *recordingWorkflows) tell(keys ...provision.OrderKey) error {
	w.keys = append(w.keys, keys...)
	return nil
}

// fault is something that the walk must find: how the server, or the store behind it, is broken.
type fault struct {
	database func(*Database)
	server   func(*service)
	around   func(http.Handler) http.Handler
}

func setupWalk(t *testing.T, broken fault) *walk {
	t.Helper()
	database, db := openDatabase(t)
	w := &walk{t: t, database: database, db: db, told: &recordingWorkflows{}, table: walkTable(), shown: map[string]bool{},
		shared: map[string]string{},
		keys:   map[string]map[provision.Role]string{"acme": {}, "globex": {}}}
	w.testAPI = setupOn(t, database, func(c *Config) {
		c.Workflows, c.Now = w.told, time.Now
		if broken.database != nil {
			broken.database(&c.Database)
		}
	})
	if broken.server != nil {
		broken.server(w.service)
	}
	var err error
	w.around, err = w.service.routes()
	require.NoError(t, err)
	if broken.around != nil {
		w.around = broken.around(w.around)
	}
	w.contract, err = loadContract()
	require.NoError(t, err)
	bound := func(to string) func(*provision.APIKey) {
		return func(key *provision.APIKey) {
			key.Name = key.Provider + " " + string(key.Role)
			if key.Role == provision.RoleMarketplace {
				key.Marketplaces = []string{to}
			}
		}
	}
	for provider := range w.keys {
		for _, role := range provision.Roles {
			w.keys[provider][role] = w.createKeyOf(provider, role, bound("nordic"))
		}
	}
	w.sibling = w.createKeyOf("acme", provision.RoleMarketplace, bound("south"))
	_, err = database.Pools.Create(t.Context(), "test", provision.DefaultPool(
		provision.Pool{Provider: "acme", Marketplace: "south", Environment: provision.Production}))
	require.NoError(t, err)
	for _, name := range slices.Sorted(maps.Keys(fixtures)) {
		maps.Copy(w.shared, fixtures[name](w))
	}
	maps.Copy(w.shared, w.completed())
	for name, id := range w.shared {
		if !slices.Contains(notNames, name) {
			w.everybody = append(w.everybody, id)
		}
	}
	return w
}

// run walks the operations of those ids, or all of them, and returns what is wrong.
func (w *walk) run(only ...string) []string {
	listed := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(w.contract.operations)) {
		op := w.contract.operations[name]
		listed[op.OperationID] = true
		if len(only) > 0 && !slices.Contains(only, op.OperationID) {
			continue
		}
		how, known := w.table[op.OperationID]
		if !known {
			w.find("%s: the walk does not know it: add a line to walkTable", op.OperationID)
			continue
		}
		w.operation(op, how)
	}
	for id := range w.table {
		if !listed[id] {
			w.find("%s is no operation of the document: take its line out of walkTable", id)
		}
	}
	return w.findings
}

func (w *walk) find(format string, args ...any) {
	w.findings = append(w.findings, fmt.Sprintf(format, args...))
}

func (w *walk) operation(op *operation, how walked) {
	params := map[string]func(*walk) map[string]string{}
	for _, p := range op.route.PathItem.Parameters {
		name := cmp.Or(how.path[p.Value.Name], p.Value.Name)
		fixture := fixtures[name]
		if fixture == nil {
			w.find("%s: nothing of acme's is known for {%s}: add a fixture", op.OperationID, name)
			return
		}
		params[name] = fixture
	}
	if op.public {
		w.public(op, how)
		return
	}
	before := w.rows("acme")
	unchanged := func(who string) {
		after := w.rows("acme")
		for table := range after {
			if before[table] != after[table] {
				w.find("%s: %s changed acme's rows in %s", op.OperationID, who, table)
			}
		}
		before = after
	}
	for _, key := range []string{"", "qm_live_000000000000_" + strings.Repeat("A", 43)} {
		answer := w.call(op, how, key, how.body, "", w.shared)
		w.leaks(op, answer, "a caller without a key", how.body+op.route.Path)
		if answer.Code != http.StatusUnauthorized {
			w.find("%s: a caller without a key was answered with %d %s", op.OperationID, answer.Code, answer.Body)
		}
		unchanged("a caller without a key")
	}
	for _, role := range provision.Roles {
		may := op.allows(role)
		w.foreign(op, how, role, may, len(params) > 0)
		unchanged("another provider's " + string(role))
		if !may {
			answer := w.call(op, how, w.keys["acme"][role], how.body, "", w.shared)
			w.refused(op, answer, "acme's "+string(role))
			w.leaks(op, answer, "acme's "+string(role), how.body+op.route.Path)
			if len(w.told.keys) > 0 {
				w.find("%s: acme's %s reached a workflow", op.OperationID, role)
			}
			unchanged("acme's " + string(role))
		}
	}
	w.otherMarketplace(op, how)
	unchanged("a key of another marketplace")
	for _, role := range provision.Roles {
		if !op.allows(role) {
			continue
		}
		for _, query := range append([]string{""}, how.queries...) {
			names := maps.Clone(w.shared)
			for _, fixture := range params {
				maps.Copy(names, fixture(w))
			}
			answer := w.call(op, how, w.keys["acme"][role], how.body, query, names)
			if right := answer.Code/100 == 2; how.answer == 0 && !right || how.answer != 0 && answer.Code != how.answer {
				w.find("%s: acme's %s was answered with %d %s", op.OperationID, role, answer.Code, answer.Body)
			}
			for _, marker := range markers {
				w.shown[marker] = w.shown[marker] || strings.Contains(answer.Body.String(), marker)
			}
		}
	}
}

// allows reports whether keys of the role may do the operation.
func (op *operation) allows(role provision.Role) bool {
	return len(op.scopes) == 0 || slices.ContainsFunc(op.scopes, role.Allows)
}

// foreign sends the operation as another provider does.
func (w *walk) foreign(op *operation, how walked, role provision.Role, may, named bool) {
	who := "another provider's " + string(role)
	send := func(body, query string, named bool) {
		w.told.keys = nil
		answer := w.call(op, how, w.keys["globex"][role], body, query, w.shared)
		w.leaks(op, answer, who, body+how.target(op)+query)
		switch {
		case !may:
			w.refused(op, answer, who)
		case answer.Code >= 500, answer.Code == http.StatusUnauthorized, answer.Code == http.StatusForbidden:
			w.find("%s: %s was answered with %d %s", op.OperationID, who, answer.Code, answer.Body)
		case how.free && answer.Code/100 == 2: // what it makes is its own
		case named && answer.Code/100 == 2, named && len(op.route.PathItem.Parameters) > 0 && answer.Code != http.StatusNotFound:
			w.find("%s: %s named what is acme's and was answered with %d", op.OperationID, who, answer.Code)
		}
		if slices.ContainsFunc(w.told.keys, func(key provision.OrderKey) bool { return key.Provider == "acme" || !may }) {
			w.find("%s: %s reached a workflow of acme's", op.OperationID, who)
		}
		w.told.keys = nil
	}
	for _, query := range append([]string{""}, how.queries...) {
		send(how.body, query, named)
	}
	for _, body := range how.foreign {
		send(body, "", true)
	}
}

// otherMarketplace sends the operation with a key of acme that is bound to another marketplace. It must get exactly what it gets
// for names that do not exist.
func (w *walk) otherMarketplace(op *operation, how walked) {
	const who = "a key of another marketplace"
	if how.callers {
		return
	}
	nothing := map[string]string{}
	for name, id := range w.shared {
		switch nothing[name] = "nothing-" + name; {
		case accountIDPattern.MatchString(id):
			nothing[name] = "777777777777"
		case uuid.Validate(id) == nil:
			nothing[name] = uuid.NewSHA1(uuid.Nil, []byte(name)).String()
		}
	}
	elsewhere := strings.NewReplacer("nordic", "nowhere")
	requests := [][2]string{{how.body, ""}}
	for _, query := range how.queries {
		requests = append(requests, [2]string{how.body, query})
	}
	for _, body := range how.foreign {
		requests = append(requests, [2]string{body, ""})
	}
	for _, r := range requests {
		w.told.keys = nil
		answer := w.call(op, how, w.sibling, r[0], r[1], w.shared)
		w.leaks(op, answer, who, r[0]+how.target(op)+r[1], how.own)
		if !op.allows(provision.RoleMarketplace) {
			w.refused(op, answer, who)
			continue
		}
		unknown := w.call(op, how, w.sibling, elsewhere.Replace(r[0]), elsewhere.Replace(r[1]), nothing)
		if got, want := withoutNames(answer, w.shared, "nordic"), withoutNames(unknown, nothing, "nowhere"); got != want {
			w.find("%s: %s can tell an order of acme's from one that does not exist: %s and %s", op.OperationID, who, got, want)
		}
		if len(w.told.keys) > 0 {
			w.find("%s: %s reached a workflow", op.OperationID, who)
		}
	}
}

var changing = regexp.MustCompile(`9\d{11}|"request_id":"\w+"`)

// withoutNames is an answer without the names that were asked for, and without what differs from request to request.
func withoutNames(answer *httptest.ResponseRecorder, names map[string]string, marketplace string) string {
	text := fmt.Sprint(answer.Code, " ", answer.Body)
	for name, value := range names {
		if !slices.Contains(notNames, name) {
			text = strings.ReplaceAll(text, value, "{"+name+"}")
		}
	}
	return changing.ReplaceAllString(strings.ReplaceAll(text, marketplace, "{marketplace}"), "")
}

// public sends an operation that needs no key, without one and with another provider's.
func (w *walk) public(op *operation, how walked) {
	before := w.rows("acme")
	for _, key := range []string{"", w.keys["globex"][provision.RoleAdmin]} {
		answer := w.call(op, how, key, how.body, "", w.shared)
		if how.answer == 0 && answer.Code/100 != 2 || how.answer != 0 && answer.Code != how.answer {
			w.find("%s: everybody was answered with %d %s", op.OperationID, answer.Code, answer.Body)
		}
		w.leaks(op, answer, "everybody", how.body)
	}
	if !maps.Equal(before, w.rows("acme")) {
		w.find("%s: everybody changed acme's rows", op.OperationID)
	}
}

// refused finds an answer that does not say which scope is missing.
func (w *walk) refused(op *operation, answer *httptest.ResponseRecorder, who string) {
	var p openapi.Problem
	_ = json.Unmarshal(answer.Body.Bytes(), &p) // what is no problem has no code
	if answer.Code != http.StatusForbidden || p.Code != codeForbidden || !strings.Contains(p.Detail, provision.JoinWords(op.scopes, "or")) {
		w.find("%s: %s has no scope %s and was answered with %d %s",
			op.OperationID, who, provision.JoinWords(op.scopes, "or"), answer.Code, answer.Body)
	}
}

// leaks finds what is acme's anywhere in an answer: what the caller has sent itself is no news.
func (w *walk) leaks(op *operation, answer *httptest.ResponseRecorder, who, sent string, own ...string) {
	var header bytes.Buffer
	_ = answer.Header().Write(&header)
	text := header.String() + answer.Body.String()
	for _, secret := range slices.Concat(markers, w.everybody, []string{"acme"}) {
		if slices.Contains(own, secret) {
			continue
		}
		for name, id := range w.shared {
			if id == secret && strings.Contains(sent, "{"+name+"}") {
				text = strings.ReplaceAll(text, id, "")
			}
		}
		if strings.Contains(text, secret) {
			w.find("%s: %s was shown %q: %d %s", op.OperationID, who, secret, answer.Code, text)
		}
	}
}

var placeholder = regexp.MustCompile(`\{[a-z_]+\}`)

// call sends the operation once.
func (w *walk) call(op *operation, how walked, key, body, query string, names map[string]string) *httptest.ResponseRecorder {
	fill := func(text string) string {
		return placeholder.ReplaceAllStringFunc(text, func(name string) string {
			if value, ok := names[strings.Trim(name, "{}")]; ok {
				return value
			}
			require.Contains(w.t, []string{"{n}", "{new_account}"}, name, "no fixture makes it")
			return fmt.Sprintf("9%011d", w.number)
		})
	}
	w.next()
	ctx := w.t.Context()
	if how.stream {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, 300*time.Millisecond)
		defer stop()
	}
	target := fill(how.target(op))
	if query != "" {
		target += "?" + fill(query)
	}
	r := httptest.NewRequestWithContext(ctx, op.route.Method, target, strings.NewReader(fill(body)))
	if body != "" {
		r.Header.Set("Content-Type", op.mediaType)
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	for i := 0; i < len(how.header); i += 2 {
		r.Header.Set(how.header[i], how.header[i+1])
	}
	return serve(w.around, r)
}

const tablesSQL = `
SELECT t.table_name, EXISTS (SELECT 1 FROM information_schema.columns c
	WHERE c.table_schema = 'public' AND c.table_name = t.table_name AND c.column_name = 'provider')
FROM information_schema.tables t WHERE t.table_schema = 'public' AND t.table_type = 'BASE TABLE' ORDER BY 1`

const rowsSQL = `
SELECT '%[1]s' AS name, COALESCE(string_agg((to_jsonb(r) - 'last_used_at')::text,
	E'\n' ORDER BY (to_jsonb(r) - 'last_used_at')::text), '') AS rows
FROM %[1]s r WHERE %[2]s`

// rows are all rows of a provider, table by table; the schema says which tables there are. When a key was last used is not
// among them: using it is no change.
func (w *walk) rows(provider string) map[string]string {
	ctx := w.t.Context()
	tables, err := w.db.QueryContext(ctx, tablesSQL)
	require.NoError(w.t, err)
	defer func() { _ = tables.Close() }()
	var parts []string
	for tables.Next() {
		var name string
		var owned bool
		require.NoError(w.t, tables.Scan(&name, &owned))
		whose, known := owners[name]
		switch {
		case slices.Contains(tablesWithoutProvider, name):
			continue
		case !known && !owned:
			w.find("table %s does not say whose its rows are: give it a column provider, or name it in owners or tablesWithoutProvider", name)
			continue
		case !known:
			whose = "r.provider = $1"
		}
		parts = append(parts, fmt.Sprintf(rowsSQL, name, whose))
	}
	require.NoError(w.t, tables.Err())
	var dumped []struct{ Name, Rows string }
	require.NoError(w.t, w.db.SelectContext(ctx, &dumped, strings.Join(parts, " UNION ALL "), provider))
	dump := map[string]string{}
	for _, d := range dumped {
		dump[d.Name] = d.Rows
	}
	return dump
}

// Every operation × every role × the own provider, another one, and another marketplace of the own provider.
func TestNoKeyGetsPastItsScopesItsProviderOrItsMarketplaces(t *testing.T) {
	t.Parallel()
	w := setupWalk(t, fault{})
	require.Empty(t, strings.Join(w.run(), "\n"))
	for _, marker := range markers {
		require.True(t, w.shown[marker], "no answer showed %s to acme itself, so the test proves nothing about others", marker)
	}
	for _, name := range []string{"orders", "accounts", "api_keys", "account_history", "order_history", "order_passwords",
		"events", "access_history", "pools", "providers"} {
		require.NotEmpty(t, w.rows("acme")[name], "acme has rows in %s", name)
	}
}
