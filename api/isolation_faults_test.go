package api

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// Aggregates with one mistake each: an operation ignores which provider owns a resource, or reports less than it should.
type (
	everyKeyIsAdmin    struct{ APIKeys }
	anybodysOrder      struct{ Orders }
	anybodysOrders     struct{ Orders }
	anybodysDeletion   struct{ Accounts }
	anybodysKey        struct{ APIKeys }
	anybodysRevocation struct{ anybodysKey }
	anybodysKeys       struct{ APIKeys }
	notFoundButDone    struct{ Accounts }
	anybodysHistory    struct{ Accounts }

	anyMarketplacesOrder   struct{ Orders }
	anyMarketplacesOrders  struct{ Orders }
	anyMarketplacesHistory struct{ Orders }
	anyMarketplacesEvents  struct{ Events }
	anyMarketplacesPool    struct{ Pools }
	anyMarketplacesKeys    struct{ APIKeys }
)

// unbound is a tenant whose marketplaces were forgotten.
func unbound(of provision.Tenant) provision.Tenant { return provision.Tenant{Provider: of.Provider} }

func (s anyMarketplacesOrder) Get(ctx context.Context, of provision.Tenant, id string) (provision.OrderView, error) {
	return s.Orders.Get(ctx, unbound(of), id)
}

func (s anyMarketplacesOrders) List(
	ctx context.Context, of provision.Tenant, filter provision.OrderFilter,
) ([]provision.OrderView, error) {
	return s.Orders.List(ctx, unbound(of), filter)
}

func (s anyMarketplacesHistory) History(
	ctx context.Context, of provision.Tenant, id string, after int64, limit int,
) ([]provision.OrderHistoryEntry, error) {
	return s.Orders.History(ctx, unbound(of), id, after, limit)
}

func (s anyMarketplacesEvents) List(
	ctx context.Context, of provision.Tenant, filter provision.EventFilter,
) ([]provision.Event, int64, error) {
	return s.Events.List(ctx, unbound(of), filter)
}

func (s anyMarketplacesPool) Exists(
	ctx context.Context, of provision.Tenant, marketplace string, environment provision.Environment,
) (bool, error) {
	return s.Pools.Exists(ctx, unbound(of), marketplace, environment)
}

func (s anyMarketplacesKeys) Find(ctx context.Context, ids ...string) ([]provision.APIKey, error) {
	keys, err := s.APIKeys.Find(ctx, ids...)
	for i := range keys {
		keys[i].Marketplaces = nil
	}
	return keys, err
}

func (s everyKeyIsAdmin) Find(ctx context.Context, ids ...string) ([]provision.APIKey, error) {
	keys, err := s.APIKeys.Find(ctx, ids...)
	for i := range keys {
		keys[i].Role = provision.RoleAdmin
	}
	return keys, err
}

func (s anybodysOrder) Get(ctx context.Context, _ provision.Tenant, id string) (provision.OrderView, error) {
	return s.Orders.Get(ctx, provision.Tenant{Provider: "acme"}, id)
}

func (s anybodysOrders) List(ctx context.Context, _ provision.Tenant, filter provision.OrderFilter) ([]provision.OrderView, error) {
	return s.Orders.List(ctx, provision.Tenant{Provider: "acme"}, filter)
}

func (s anybodysDeletion) Delete(ctx context.Context, actor, _, id string, version int64, reason string) error {
	return s.Accounts.Delete(ctx, actor, "acme", id, version, reason)
}

func (s anybodysKey) Get(ctx context.Context, _, id string) (provision.APIKey, error) {
	return s.APIKeys.Get(ctx, "acme", id)
}

func (s anybodysRevocation) Revoke(ctx context.Context, actor, _, id, reason string, keepOne bool) (provision.APIKey, error) {
	return s.APIKeys.Revoke(ctx, actor, "acme", id, reason, keepOne)
}

func (s anybodysKeys) List(ctx context.Context, _ string, limit int, after *provision.KeyCursor) ([]provision.APIKey, error) {
	return s.APIKeys.List(ctx, "acme", limit, after)
}

func (s notFoundButDone) Invalidate(
	ctx context.Context, actor, _, id string, version int64, reason string,
) (provision.Account, []provision.OrderKey, error) {
	_, _, _ = s.Accounts.Invalidate(ctx, actor, "acme", id, version, reason)
	return provision.Account{}, nil, provision.ErrNotFound
}

func (s anybodysHistory) History(ctx context.Context, _, id string, after int64, limit int) ([]provision.AccountHistoryEntry, error) {
	return s.Accounts.History(ctx, "acme", id, after, limit)
}

// The walk finds every kind of mistake that it is there for, and finds it where it is.
func TestTheWalkFindsInjectedFaults(t *testing.T) {
	t.Parallel()
	database := func(spoil func(*Database)) fault { return fault{database: spoil} }
	scope := func(operation string, scope provision.Scope) fault {
		return fault{server: func(s *service) { s.contract.operations[operation].scopes = []provision.Scope{scope} }}
	}
	for name, c := range map[string]struct {
		fault     fault
		operation string
		finding   string
	}{
		"a lesser scope is asked for": {scope("POST /v1/orders/:order_id/retry", provision.ScopeOrdersRead), "retryOrder",
			"acme's viewer has no scope orders:operate"},
		"keys are shown to all roles": {scope("GET /v1/api-keys", provision.ScopeOrdersRead), "listAPIKeys",
			"acme's marketplace has no scope keys:read"},
		"a scope that is too strong": {scope("GET /v1/orders", provision.ScopeKeysWrite), "listOrders",
			"acme's viewer was answered with 403"},
		"every key is an admin's": {database(func(d *Database) { d.APIKeys = everyKeyIsAdmin{d.APIKeys} }), "deleteAccount",
			"acme's marketplace changed acme's rows in accounts"},
		"an order is read by its id": {database(func(d *Database) { d.Orders = anybodysOrder{d.Orders} }), "getOrder",
			`another provider's viewer was shown "mk-contact"`},
		"an order is told by its id": {database(func(d *Database) { d.Orders = anybodysOrder{d.Orders} }), "cancelOrder",
			"another provider's operator reached a workflow of acme's"},
		"a list is everybody's": {database(func(d *Database) { d.Orders = anybodysOrders{d.Orders} }), "listOrders",
			`another provider's marketplace was shown "mk-alias"`},
		"an account is deleted by its id": {database(func(d *Database) { d.Accounts = anybodysDeletion{d.Accounts} }),
			"deleteAccount", "another provider's operator changed acme's rows in accounts"},
		"a key is read by its id": {database(func(d *Database) { d.APIKeys = anybodysKey{d.APIKeys} }), "getAPIKey",
			`another provider's admin was shown "mk-key"`},
		"a key is revoked by its id": {database(func(d *Database) { d.APIKeys = anybodysRevocation{anybodysKey{d.APIKeys}} }), "revokeAPIKey",
			"another provider's admin changed acme's rows in access_history"},
		"the keys are everybody's": {database(func(d *Database) { d.APIKeys = anybodysKeys{d.APIKeys} }), "listAPIKeys",
			`another provider's admin was shown "acme"`},
		"it is done, and then not found": {database(func(d *Database) { d.Accounts = notFoundButDone{d.Accounts} }),
			"invalidateAccount", "another provider's operator changed acme's rows in account_history"},
		"a history is read by its id": {database(func(d *Database) { d.Accounts = anybodysHistory{d.Accounts} }),
			"listAccountHistory", "named what is acme's and was answered with 200"},
		"an order of any marketplace is read": {database(func(d *Database) { d.Orders = anyMarketplacesOrder{d.Orders} }), "getOrder",
			`a key of another marketplace was shown "mk-contact"`},
		"an order of any marketplace is cancelled": {database(func(d *Database) { d.Orders = anyMarketplacesOrder{d.Orders} }),
			"cancelOrder", "a key of another marketplace reached a workflow"},
		"a list of any marketplace": {database(func(d *Database) { d.Orders = anyMarketplacesOrders{d.Orders} }), "listOrders",
			`a key of another marketplace was shown "mk-alias"`},
		"a history of any marketplace": {database(func(d *Database) { d.Orders = anyMarketplacesHistory{d.Orders} }), "listOrderHistory",
			"a key of another marketplace can tell an order of acme's from one that does not exist"},
		"events of any marketplace": {database(func(d *Database) { d.Events = anyMarketplacesEvents{d.Events} }), "listEvents",
			`a key of another marketplace was shown "mk-order`},
		"an order for any marketplace": {database(func(d *Database) { d.Pools = anyMarketplacesPool{d.Pools} }), "createOrder",
			"a key of another marketplace reached a workflow"},
		"a check for any marketplace": {database(func(d *Database) { d.Pools = anyMarketplacesPool{d.Pools} }), "validateOrder",
			"a key of another marketplace can tell an order of acme's from one that does not exist"},
		"a key that forgets its marketplaces": {database(func(d *Database) { d.APIKeys = anyMarketplacesKeys{d.APIKeys} }), "listOrders",
			`a key of another marketplace was shown "mk-alias"`},
		"an operation that needs no key": {fault{server: func(s *service) {
			s.contract.operations["GET /v1/accounts"].public, s.contract.operations["GET /v1/accounts"].scopes = true, nil
		}},
			"listAccounts", "a caller without a key was answered with 200"},
		"a header reveals data": {fault{around: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("X-Looked-At", "mk-root@acme.example")
				next.ServeHTTP(rw, r)
			})
		}}, "getAccount", `another provider's viewer was shown "mk-root"`},
		"a refusal that says too much": {fault{around: func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				answer := httptest.NewRecorder()
				next.ServeHTTP(answer, r)
				rw.WriteHeader(answer.Code)
				_, _ = rw.Write([]byte(strings.ReplaceAll(answer.Body.String(), "not found", "is acme's")))
			})
		}}, "updateAccount", `was shown "acme": 404`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := strings.Join(setupWalk(t, c.fault).run(c.operation), "\n")
			require.Contains(t, found, c.operation+": ")
			require.Contains(t, found, c.finding)
		})
	}
}

func TestTheWalkRequiresEveryOperationAndEveryTable(t *testing.T) {
	t.Parallel()
	w := setupWalk(t, fault{})
	delete(w.table, "getAccount")
	w.table["sellAccount"] = walked{}
	require.Equal(t, []string{"getAccount: the walk does not know it: add a line to walkTable",
		"sellAccount is no operation of the document: take its line out of walkTable"}, w.run("getAccount"))

	w.findings = nil
	apart, err := readDocument(openapi.Document) // the document itself is everybody's
	require.NoError(t, err)
	w.contract, err = contractOf(apart)
	require.NoError(t, err)
	for _, p := range w.contract.operations["GET /v1/accounts/:account_id"].route.PathItem.Parameters {
		p.Value.Name = "shelf"
	}
	w.operation(w.contract.operations["GET /v1/accounts/:account_id"], walked{})
	require.Equal(t, []string{"getAccount: nothing of acme's is known for {shelf}: add a fixture"}, w.findings)

	w.findings = nil
	_, err = w.db.ExecContext(t.Context(), `CREATE TABLE shelves (id int)`)
	require.NoError(t, err)
	w.rows("acme")
	require.Equal(t, []string{"table shelves does not say whose its rows are: " +
		"give it a column provider, or name it in owners or tablesWithoutProvider"}, w.findings)
}

// The walk reads a stream for a moment and searches what it has sent.
func TestTheWalkReadsStreams(t *testing.T) {
	t.Parallel()
	w := setupWalk(t, fault{around: func(http.Handler) http.Handler {
		return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			_, _ = fmt.Fprint(rw, "data: mk-user\n\n")
			<-r.Context().Done()
		})
	}})
	op := w.contract.operations["GET /v1/orders"]
	began := time.Now()
	w.foreign(op, walked{stream: true}, provision.RoleViewer, true, false)
	require.Less(t, time.Since(began), time.Minute)
	require.Len(t, w.findings, 1)
	require.Contains(t, w.findings[0], `was shown "mk-user"`)
}
