package stack_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/dev/stack"
	"quartermaster/internal/provision"
)

// send sends a request to the API whose body or response is a file.
func send(t *testing.T, method, path, contentType, body string, status int) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, playground.Client.Base+path, strings.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+playground.Client.Key)
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	answer, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer func() { require.NoError(t, answer.Body.Close()) }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, status, answer.StatusCode, string(text))
	return string(text)
}

// The operator gets the template, imports accounts, exports their external ids, creates roles and verifies; three waiting orders
// complete.
func TestImportOfThreeAccountsServesTheThreeOldestOrders(t *testing.T) {
	ctx := setup(t)
	const marketplace, waiting = "bulk", 6
	require.NoError(t, playground.Pool(ctx, marketplace, provision.DataExport))
	place := func(id string) int {
		t.Helper()
		order, err := playground.Until(ctx, id, func(o openapi.Order) bool {
			return o.State == provision.WaitingForAccount && o.Waiting != nil
		})
		require.NoError(t, err)
		return order.Waiting.Place
	}
	for i := range waiting {
		order := stack.NewOrder(fmt.Sprintf("bulk-%d", i), provision.ModelECAM)
		order.Marketplace = marketplace
		require.NoError(t, playground.Place(ctx, order))
		require.Equal(t, i+1, place(order.ID))
	}

	file := send(t, http.MethodGet, "/v1/account-imports/template", "", "", http.StatusOK)
	var ids []string
	for i := range 3 {
		id := fmt.Sprintf("2220%08d", 3-i) // the order of the file counts, not that of the ids
		ids = append(ids, id)
		file += fmt.Sprintf("%s,%s,production,ECAM,Bulk %s,aws+%s@acme.example,arn:aws:iam::%s:role/quartermaster\r\n",
			id, marketplace, id, id, id)
	}
	var begun openapi.AccountImport
	answer := send(t, http.MethodPost, "/v1/account-imports", "text/csv", file+"a broken row\r\n", http.StatusAccepted)
	require.NoError(t, json.Unmarshal([]byte(answer), &begun))
	require.Equal(t, 4, begun.RowsTotal)
	started := time.Now()
	ended := begun
	require.Eventually(t, func() bool {
		_, err := playground.Client.Do(ctx, http.MethodGet, "/v1/account-imports/"+begun.ID, nil, &ended)
		return err == nil && ended.State != provision.ImportRunning
	}, time.Minute, 20*time.Millisecond)
	require.Equal(t, provision.ImportCompleted, ended.State)
	require.Equal(t, []int{3, 1}, []int{ended.Added, ended.Faulty})
	require.Less(t, time.Since(started), 30*time.Second, "the workflow was told that its file is kept")
	var faults openapi.RowResultPage
	_, err := playground.Client.Do(ctx, http.MethodGet, "/v1/account-imports/"+begun.ID+"/results?outcome=faulty", nil, &faults)
	require.NoError(t, err)
	require.Len(t, faults.Items, 1)
	require.Equal(t, 5, faults.Items[0].Line)

	// The import has the accounts verified. No order draws one before it passes, and it cannot pass before its role exists.
	for _, id := range ids {
		require.Eventually(t, func() bool {
			var account openapi.Account
			_, err := playground.Client.Do(ctx, http.MethodGet, "/v1/accounts/"+id, nil, &account)
			return err == nil && account.Finding != nil
		}, time.Minute, 20*time.Millisecond, "account %s was not verified", id)
		requireStatus(t, id, provision.AccountInvalid)
	}
	for i := range waiting {
		require.Equal(t, i+1, place(fmt.Sprintf("bulk-%d", i)))
	}

	exported := send(t, http.MethodGet, "/v1/accounts/export?marketplace="+marketplace, "", "", http.StatusOK)
	rows, err := csv.NewReader(strings.NewReader(exported)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 4)
	column := map[string]int{}
	for i, name := range rows[0] {
		column[name] = i
	}
	for i, row := range rows[1:] {
		require.Equal(t, ids[i], row[column["account_id"]], "the order of the file is the order of age")
		require.NoError(t, playground.Simulate(provision.Account{
			ID: row[column["account_id"]], Model: provision.Model(row[column["model"]]),
			RootEmail: row[column["root_email"]], ExternalID: row[column["external_id"]],
		}))
	}
	for _, id := range ids { // or wait for the next try
		_, err := playground.Client.Do(ctx, http.MethodPost, "/v1/accounts/"+id+"/verify", nil, &openapi.Account{})
		require.NoError(t, err)
	}

	got := map[string]bool{}
	for i := range 3 {
		order, err := playground.Ended(ctx, fmt.Sprintf("bulk-%d", i))
		require.NoError(t, err)
		require.Equal(t, provision.Completed, order.State, "%+v", order.Failure)
		got[order.Result.AccountID] = true
	}
	for _, id := range ids {
		require.True(t, got[id], id)
		requireStatus(t, id, provision.AccountAllocated)
	}
	for i := 3; i < waiting; i++ {
		require.Equal(t, i-2, place(fmt.Sprintf("bulk-%d", i)), "the others still wait, three places further")
	}
}
