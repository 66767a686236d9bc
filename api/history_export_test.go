package api

import (
	"encoding/csv"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// exported reads an export of the history.
func (w *testAPI) exportedHistory(t *testing.T, key, query string) [][]string {
	t.Helper()
	answer := w.send(key, http.MethodGet, "/v1/history/export?"+query, "")
	require.Equal(t, http.StatusOK, answer.Code, answer.Body)
	require.Equal(t, `attachment; filename="history.csv"`, answer.Header().Get("Content-Disposition"))
	rows, err := csv.NewReader(answer.Body).ReadAll()
	require.NoError(t, err)
	require.Equal(t, historyColumns, rows[0])
	return rows[1:]
}

func TestAnExportHasWhatTheHistoryLists(t *testing.T) {
	t.Parallel()
	w := eventful(t)
	for _, query := range []string{"", "kind=account&kind=order", "order_id=MP-1", "marketplace=baltic", "since=2999-01-01T00:00:00Z"} {
		entries, rows := w.history(t, w.key, "limit=200&"+query), w.exportedHistory(t, w.key, query)
		require.Len(t, rows, len(entries), query)
		for i, e := range entries {
			require.Equal(t, e.At.Format(time.RFC3339Nano), rows[i][0])
			require.Equal(t, []string{string(e.Kind), e.Actor, value(e.OrderID)}, rows[i][1:4])
			require.Equal(t, []string{value(e.Code), value(e.Reason)}, []string{rows[i][11], rows[i][14]})
		}
	}
	refused := w.exportedHistory(t, w.key, "kind=order&order_id=MP-1")[0]
	require.Equal(t, []string{"completed", "completed", "cancel", "", "TooLate", "too late, I guess"}, refused[9:], "states without quotes")
	require.Empty(t, w.exportedHistory(t, w.otherKey, "kind=order"))
	viewer := w.createKeyOf("acme", provision.RoleViewer)
	readProblem(t, w.send(viewer, http.MethodGet, "/v1/history/export?kind=access", ""), http.StatusForbidden, codeForbidden)
	readProblem(t, w.get("/v1/history/export?limit=1"), http.StatusBadRequest, codeInvalidParameter)
}

func TestAnExportOfTheHistoryIsComplete(t *testing.T) {
	t.Parallel()
	w := eventful(t)
	_, db := w.store, w.store.SQL()
	db.MustExec(`INSERT INTO account_history (provider, marketplace, environment, account_id, to_status, actor, reason)
		SELECT 'acme', 'nordic', 'production', '123456789012', 'invalid', 'test', '=1+' || i FROM generate_series(1, 1200) i`)
	rows := w.exportedHistory(t, w.key, "account_id=123456789012")
	require.Len(t, rows, 1200)
	seen := map[string]bool{}
	for _, row := range rows {
		require.True(t, strings.HasPrefix(row[14], "'=1+"), "a formula")
		seen[row[14]] = true
	}
	require.Len(t, seen, 1200)
}
