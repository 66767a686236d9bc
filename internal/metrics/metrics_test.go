package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/jmoiron/sqlx"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/postgres"
	"quartermaster/internal/postgres/pgtest"
	"quartermaster/internal/provision"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

var pool = provision.Pool{Provider: "acme", Marketplace: "north", Environment: provision.Production}

const ofNorth = `provider="acme"`

func setup(t *testing.T) (*postgres.DB, *sqlx.DB) {
	t.Helper()
	ctx, db := t.Context(), pgtest.New(t)
	store := postgres.New(db)
	require.NoError(t, store.Providers.Create(ctx, "acme", "Acme"))
	config := provision.DefaultPool(pool)
	two := 2
	config.StockThreshold, config.ModelThresholds = &two, map[provision.Model]int{provision.ModelECAM: 1}
	_, err := store.Pools.Create(ctx, "test", config)
	require.NoError(t, err)
	return store, db
}

func scrape(t *testing.T, handler http.Handler) map[string]string {
	t.Helper()
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	require.Equal(t, http.StatusOK, answer.Code)
	values := map[string]string{}
	for line := range strings.Lines(answer.Body.String()) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "} "); found {
			values[name+"}"] = value
		} else if name, value, found := strings.Cut(strings.TrimSpace(line), " "); found && !strings.HasPrefix(line, "#") {
			values[name] = value
		}
	}
	return values
}

func handlerOf(stock Stock, orders Orders) http.Handler {
	return Handler(New(stock, orders, slog.New(slog.DiscardHandler)))
}

func TestAScrapeTellsWhatTheDatabaseKnows(t *testing.T) {
	t.Parallel()
	store, db := setup(t)
	for i := range 6 {
		id := fmt.Sprintf("%012d", i)
		_, _, err := store.Accounts.Create(t.Context(), provision.Account{
			ID:         id,
			Pool:       pool,
			Model:      provision.ModelSPAM,
			Status:     provision.AccountReady,
			Name:       id,
			RootEmail:  id + "@acme.test",
			RoleARN:    "arn:aws:iam::" + id + ":role/q",
			ExternalID: provision.NewExternalID(),
		}, "test")
		require.NoError(t, err)
	}
	for _, id := range []string{"a", "b", "c", "d"} {
		o := provision.Order{
			OrderKey:   provision.OrderKey{Provider: "acme", ID: id},
			AcceptedAt: time.Now(),
			Request:    provision.Request{Marketplace: "north", Environment: provision.Production},
		}
		_, err := store.Orders.Open(t.Context(), o)
		require.NoError(t, err)
		claim, err := store.Orders.Claim(t.Context(), o.OrderKey)
		require.NoError(t, err)
		if id != "d" {
			require.NoError(t, store.Orders.Allocate(t.Context(), o.OrderKey, claim.Account.ID, provision.Result{}))
		}
	}
	db.MustExec(`UPDATE accounts SET status_since = now() - interval '7 days' WHERE status = 'allocated'`)
	db.MustExec(`UPDATE orders SET state_since = now() - interval '1 hour' WHERE state = 'provisioning'`)
	db.MustExec(`UPDATE pools SET verification_suspended_at = now(), claims_suspended_at = now(), claims_suspended_because = 'x'`)
	_, err := store.Stock.Watch(t.Context())
	require.NoError(t, err)

	got := scrape(t, handlerOf(store.Stock, store.Orders))
	var rows []struct {
		Model, Status string
		Count         int
	}
	require.NoError(t, db.Select(&rows, `SELECT model, status, count(*) FROM accounts GROUP BY model, status`))
	require.Len(t, rows, 3)
	for _, row := range rows {
		series := fmt.Sprintf(`quartermaster_accounts{environment="production",marketplace="north",model=%q,provider="acme",status=%q}`,
			row.Model, row.Status)
		require.Equal(t, fmt.Sprint(row.Count), got[series])
	}
	const of = `environment="production",marketplace="north",`
	for name, want := range map[string]string{
		`quartermaster_database_up`: "1",
		`quartermaster_accounts{` + of + `model="ECAM",` + ofNorth + `,status="ready"}`:                             "0",
		`quartermaster_stock_threshold{` + of + `model="",` + ofNorth + `}`:                                         "2",
		`quartermaster_stock_threshold{` + of + `model="ECAM",` + ofNorth + `}`:                                     "1",
		`quartermaster_stock_forecast_days{` + of + `model="SPAM",` + ofNorth + `}`:                                 "6.7",
		`quartermaster_stock_alert_open{environment="production",kind="empty",marketplace="north",` + ofNorth + `}`: "1",
		`quartermaster_stock_alert_open{environment="production",kind="low",marketplace="north",` + ofNorth + `}`:   "0",
		`quartermaster_orders_waiting{` + of + ofNorth + `}`:                                                        "0",
		`quartermaster_verification_suspended{` + of + ofNorth + `}`:                                                "1",
		`quartermaster_claims_suspended{` + of + ofNorth + `}`:                                                      "1",
		`quartermaster_orders{` + of + ofNorth + `,state="completed"}`:                                              "3",
		`quartermaster_orders{` + of + ofNorth + `,state="provisioning"}`:                                           "1",
		`quartermaster_orders{` + of + ofNorth + `,state="failed"}`:                                                 "0",
		`quartermaster_order_oldest_seconds{` + of + ofNorth + `,state="accepted"}`:                                 "0",
	} {
		require.Equal(t, want, got[name], "%s of %v", name, got)
	}
	require.Regexp(t, `^360\d`, got[`quartermaster_order_oldest_seconds{`+of+ofNorth+`,state="provisioning"}`])
	require.NotContains(t, got, `quartermaster_order_oldest_seconds{`+of+ofNorth+`,state="completed"}`)
	require.Contains(t, got, "go_goroutines")
	for name := range got {
		require.NotContains(t, name, "@acme.test")
	}
}

// countedStock counts how often the stock is read. With err it fails.
type countedStock struct {
	Stock
	reads int
	err   error
}

func (s *countedStock) Count(ctx context.Context, provider string) ([]provision.PoolStock, error) {
	s.reads++
	if s.err != nil {
		return nil, s.err
	}
	return s.Stock.Count(ctx, provider)
}

func TestScrapesAreAnsweredFromAShortCacheAndNeverWithOldNumbers(t *testing.T) {
	t.Parallel()
	store, _ := setup(t)
	counted := &countedStock{Stock: store.Stock}
	now := time.Now()
	c := ofDatabase(counted, store.Orders, slog.New(slog.DiscardHandler))
	c.now = func() time.Time { return now }
	healthy := len(c.metrics())
	c.metrics()
	require.Equal(t, 1, counted.reads)
	now = now.Add(cacheFor)
	c.metrics()
	require.Equal(t, 2, counted.reads)
	counted.err = errors.New("down")
	require.Len(t, c.metrics(), healthy)
	now = now.Add(cacheFor)
	require.Len(t, c.metrics(), 1, "nothing but that the database is down")
	got := scrape(t, handlerOf(counted, store.Orders))
	require.Equal(t, "0", got["quartermaster_database_up"])
	require.Contains(t, got, "go_goroutines", "the rest goes on")
}
