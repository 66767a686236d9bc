package api

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// statuses are those of the checks, by name.
func statuses(h openapi.Health) map[string]string {
	found := map[string]string{}
	for _, check := range h.Checks {
		found[check.Name] = check.Status
	}
	return found
}

func TestHealthSaysWhetherAnythingIsStuck(t *testing.T) {
	t.Parallel()
	w := setup(t)
	found := read[openapi.Health](t, w.get("/v1/health"), http.StatusOK)
	require.Equal(t, "ok", found.Status, "%+v", found.Checks)
	require.Len(t, found.Checks, 9)
	require.Equal(t, "workflow", found.Workers[0].Type)
	require.NotNil(t, found.Workers[0].SeenAt)
	require.Equal(t, 2, found.Workers[1].Backlog)
	require.Nil(t, found.Workers[1].SeenAt)
	require.Equal(t, "completed", *found.Schedules[0].LastResult)

	w.temporal.down = errors.New("connection refused")
	found = read[openapi.Health](t, w.get("/v1/health"), http.StatusOK)
	require.Equal(t, "failing", found.Status)
	require.Equal(t, map[string]string{"database": "ok", "schema": "ok", "temporal": "failing", "workers": "warning", "schedules": "warning",
		"reconcile": "warning", "pools": "ok", "webhooks": "ok", "api_keys": "ok"}, statuses(found))
	require.Empty(t, found.Workers)
	require.NotNil(t, found.Workers)

	w.temporal.down = nil
	w.change(func(c *Config) {
		broken := w.temporal.examiner(w.store)
		broken.Ping = func(context.Context) error { return provision.ErrUnavailable }
		broken.Concerns = func(context.Context, string) (provision.Concerns, error) {
			return provision.Concerns{}, provision.ErrUnavailable
		}
		c.Health = broken
	})
	found = read[openapi.Health](t, w.get("/v1/health"), http.StatusOK)
	require.Equal(t, "failing", statuses(found)["database"])
	require.Equal(t, "warning", statuses(found)["api_keys"])
	require.Equal(t, "ok", statuses(found)["workers"])
}

func TestHealthIsAboutTheCallersProvider(t *testing.T) {
	t.Parallel()
	w := setup(t, realTime)
	ctx := t.Context()
	db := w.store.SQL()
	soon := time.Now().Add(10 * 24 * time.Hour)
	w.createKeyOf("acme", provision.RoleViewer, func(k *provision.APIKey) { k.ExpiresAt = &soon })
	for _, kind := range []string{"deliveries", "key 5f1c90aa0b3e"} {
		key := provision.WebhookKey{Provider: "acme", ID: uuid.NewString()}
		_, err := w.store.Webhooks.Create(ctx, "test", provision.Webhook{ID: key.ID, Provider: key.Provider,
			URL: "https://hooks.example.com/"},
			[]byte("sealed"))
		require.NoError(t, err)
		db.MustExec(`UPDATE webhooks SET enabled = false, disabled_at = now(), disabled_by = $2, disabled_because = 'x'
			WHERE id = $1`, key.ID, kind)
	}
	db.MustExec(`UPDATE pools SET claims_suspended_at = now(), claims_suspended_because = 'x'
		WHERE provider = 'acme' AND environment = 'test'`)
	found := read[openapi.Health](t, w.get("/v1/health"), http.StatusOK)
	of := statuses(found)
	require.Equal(t, []string{"failing", "warning", "warning"}, []string{of["pools"], of["webhooks"], of["api_keys"]})
	for _, check := range found.Checks {
		switch check.Name {
		case "pools":
			require.Equal(t, "Orders get no accounts of nordic/test.", check.Message)
		case "webhooks":
			require.Contains(t, check.Message, "switched off: 1.")
		case "api_keys":
			require.Contains(t, check.Message, ": 1, the first on "+soon.UTC().Format("2006-01-02"))
		}
	}
	other := read[openapi.Health](t, w.send(w.otherKey, http.MethodGet, "/v1/health", ""), http.StatusOK)
	require.Equal(t, "ok", other.Status, "%+v", other.Checks)

	for _, role := range []provision.Role{provision.RoleViewer, provision.RoleOperator} {
		read[openapi.Health](t, w.send(w.createKeyOf("acme", role), http.MethodGet, "/v1/health", ""), http.StatusOK)
	}
	marketplace := w.createKeyOf("acme", provision.RoleMarketplace)
	readProblem(t, w.send(marketplace, http.MethodGet, "/v1/health", ""), http.StatusForbidden, codeForbidden)
}
