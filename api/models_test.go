package api

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// A model that an operator adds works in orders, accounts, pools and imports without a restart.
func TestAModelAddedToTheDatabaseWorksWithoutARestart(t *testing.T) {
	t.Parallel()
	clock := now
	w := setup(t, func(c *Config) { c.Now = func() time.Time { return clock } })
	order := orderForm("MP-1", map[string]any{"account_model": "SPTM"})
	p := readProblem(t, w.post("/v1/orders", order), http.StatusUnprocessableEntity, codeInvalid)
	require.Equal(t, map[string]string{"account_model": `"SPTM" is not an account model: use SPAM or ECAM`}, fieldsOf(p))

	_, err := w.store.Models.Create(t.Context(), provision.AccountModel{ID: "SPTM", Title: "Third model"}, "test")
	require.NoError(t, err)
	clock = clock.Add(modelsFor)

	accepted := read[openapi.Order](t, w.post("/v1/orders", order), http.StatusAccepted)
	require.Equal(t, provision.Model("SPTM"), *accepted.AccountModel)
	account := read[openapi.Account](t, w.post("/v1/accounts", accountForm("444455556666", map[string]any{"model": "SPTM"})),
		http.StatusCreated)
	require.Equal(t, provision.Model("SPTM"), account.Model)
	pool := read[openapi.Pool](t, w.send(w.key, http.MethodPatch, "/v1/pools/nordic/production",
		`{"model_thresholds":[{"model":"SPTM","threshold":2}]}`, "If-Match", "*"), http.StatusOK)
	require.Equal(t, openapi.ModelThresholds{{Model: "SPTM", Threshold: 2}}, pool.ModelThresholds)
	imported := read[openapi.AccountImport](t, w.upload(w.key, "", strings.ReplaceAll(csvFile("555566667777"), "SPAM", "SPTM")),
		http.StatusAccepted)
	require.Equal(t, 1, read[openapi.AccountImport](t, w.get(importsPath+"/"+imported.ID), http.StatusOK).Added)
}
