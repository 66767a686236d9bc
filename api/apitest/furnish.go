package apitest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"quartermaster/internal/provision"
)

// Call sends a request as an admin of acme and returns the members of the answer, which must be a success.
func (a *API) Call(t testing.TB, method, path, body string, headers ...string) map[string]any {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://api.invalid"+path, strings.NewReader(body))
	require.NoError(t, err)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	admin := provision.Principal{
		Person: provision.Person{Issuer: "https://login.example", Subject: "00u1ab", Name: "anna@acme.example"},
		Grant:  provision.Grant{Provider: "acme", Role: provision.RoleAdmin},
	}
	answer, err := a.Handler.As(admin, netip.MustParseAddr("192.0.2.7")).RoundTrip(r)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.Equal(t, 2, answer.StatusCode/100, "%s %s: %s", method, path, text)
	members := map[string]any{}
	if len(text) > 0 {
		require.NoError(t, json.Unmarshal(text, &members), string(text))
	}
	return members
}

// Furnish gives acme something of everything that has a page in the console, and returns the ids by what they are of: order, account,
// alert, webhook, delivery, key, import, batch. The order asks for another alias.
func (a *API) Furnish(t testing.TB) map[string]string {
	t.Helper()
	for i, state := range []provision.OrderState{
		provision.Completed, provision.ActionRequired, provision.Compensating, provision.Failed, provision.Cancelled,
		provision.WaitingForAccount, provision.Accepted,
	} {
		a.Seed.Order(t, fmt.Sprintf("MP-2026-%06d", 116+i), state)
	}
	a.Seed.Account(t, "111122223333", provision.AccountProvisioningFailed)
	a.Seed.Account(t, "111122224444", provision.AccountReady)
	a.Seed.Account(t, "111122225555", provision.AccountInvalid)
	a.Call(t, http.MethodPatch, "/v1/pools/nordic/production", `{"stock_threshold":5}`, "If-Match", "*")
	_, err := a.DB.Stock.Watch(t.Context())
	require.NoError(t, err)
	a.Call(t, http.MethodPut, "/v1/protected-accounts/999988887777", `{"note":"Payer of the distribution business"}`)
	hook := a.Call(t, http.MethodPost, "/v1/webhooks", `{"url":"https://market.example/hooks/aws","description":"Orders of the shop"}`)
	webhook := id(t, hook["webhook"])
	delivery := a.Call(t, http.MethodPost, "/v1/webhooks/"+webhook+"/test", "")
	key := a.Call(t, http.MethodPost, "/v1/api-keys", `{"name":"nordic store","role":"marketplace","marketplaces":["nordic"]}`)
	file := "account_id,marketplace,environment,model,name,root_email,role_arn\n" +
		"000011112222,nordic,production,SPAM,Pool 7,aws+7@acme.example,arn:aws:iam::000011112222:role/quartermaster\n" +
		"0000,nordic,production,SPAM,Pool 8,aws+8@acme.example,none\n"
	imported := a.Call(t, http.MethodPost, "/v1/account-imports?dry_run=true", file, "Content-Type", "text/csv")
	batch := a.Call(t, http.MethodPost, "/v1/batches",
		`{"id":"`+uuid.NewString()+`","verb":"cancel","orders":{"ids":["MP-2026-000116","MP-2026-000122"]},
"expected_count":2,"reason":"The customers withdrew."}`)
	a.Call(t, http.MethodPut, "/v1/saved-filters/Baltic", `{"page":"orders","query":"marketplace=baltic"}`)
	alerts, ok := a.Call(t, http.MethodGet, "/v1/stock-alerts", "")["items"].([]any)
	require.True(t, ok && len(alerts) > 0, alerts)
	return map[string]string{
		"order": "MP-2026-000117", "account": "111122224444", "webhook": webhook, "delivery": id(t, delivery),
		"key": id(t, key["api_key"]), "import": id(t, imported), "alert": id(t, alerts[0]), "batch": id(t, batch),
	}
}

// id returns the member id of an object.
func id(t testing.TB, object any) string {
	t.Helper()
	members, _ := object.(map[string]any)
	text, _ := members["id"].(string)
	require.NotEmpty(t, text, "%v has no id", object)
	return text
}
