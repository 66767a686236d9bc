package api

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

func TestTheTrustPolicyNamesTheKnownIdentity(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.stockAccount(t, "111122223333", provision.AccountReady)
	account, err := w.store.Accounts.Get(t.Context(), "acme", "111122223333")
	require.NoError(t, err)
	role := func(query string) (role openapi.AccountRole, trust string) {
		answer := w.get("/v1/accounts/" + account.ID + "/role" + query)
		require.Equal(t, http.StatusOK, answer.Code, answer.Body)
		require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &role))
		require.Contains(t, string(role.PermissionsPolicy), "arn:aws:iam::111122223333:user/marketplace/*")
		require.Contains(t, string(role.ServicePolicy), "sts:AssumeRole")
		if role.TrustPolicy != nil {
			trust = string(*role.TrustPolicy)
			require.Contains(t, trust, account.ExternalID)
			require.Contains(t, trust, *role.PrincipalARN)
		}
		return role, trust
	}
	unknown, trust := role("")
	require.Empty(t, trust)
	require.Nil(t, unknown.PrincipalARN)
	require.Contains(t, *unknown.Advice, "QM_AWS_PRINCIPAL_ARN")

	require.NoError(t, w.store.Processes.ReportIdentity(t.Context(), "arn:aws:sts::999988887777:assumed-role/workers/i-1"))
	reported, _ := role("")
	require.Equal(t, "arn:aws:iam::999988887777:role/workers", *reported.PrincipalARN)
	require.Equal(t, principalOfWorker, *reported.PrincipalSource)
	require.NotNil(t, reported.ReportedAt)
	require.Contains(t, *reported.Advice, "without the role's path")

	w.change(func(cfg *Config) { cfg.PrincipalARN = "arn:aws:iam::999988887777:role/ops/workers" })
	configured, _ := role("")
	require.Equal(t, "arn:aws:iam::999988887777:role/ops/workers", *configured.PrincipalARN)
	require.Equal(t, principalOfOption, *configured.PrincipalSource)
	require.Nil(t, configured.Advice)

	asked, _ := role("?principal_arn=arn:aws:iam::999988887777:user/jane")
	require.Equal(t, "arn:aws:iam::999988887777:user/jane", *asked.PrincipalARN)
	require.Equal(t, principalOfRequest, *asked.PrincipalSource)
	wrong := w.get("/v1/accounts/" + account.ID + "/role?principal_arn=arn:aws:sts::999988887777:assumed-role/workers/i-1")
	require.Equal(t, http.StatusBadRequest, wrong.Code)
	require.Contains(t, wrong.Body.String(), "name the role itself")
}

func TestOnlyTheAnswerForOneReadyAccountHasItsPlace(t *testing.T) {
	t.Parallel()
	w := setup(t)
	const id = "111122223333"
	w.stockAccount(t, id, provision.AccountReady)
	var shown openapi.Account
	read := func() openapi.Account {
		answer := w.get("/v1/accounts/" + id)
		require.Equal(t, http.StatusOK, answer.Code, answer.Body)
		shown = openapi.Account{}
		require.NoError(t, json.Unmarshal(answer.Body.Bytes(), &shown))
		return shown
	}
	require.Equal(t, provision.AccountReady, read().Status)
	require.Equal(t, 1, *shown.Place)
	require.NotContains(t, w.get("/v1/accounts").Body.String(), `"place"`)
	_, _, err := w.store.Accounts.Invalidate(t.Context(), "test", "acme", id, 0, "closed")
	require.NoError(t, err)
	require.Nil(t, read().Place)
}
