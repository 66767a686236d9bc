package main

import (
	"bytes"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"quartermaster/console"
	"quartermaster/internal/provision"
)

func TestTheIssuerIsConfiguredWholeOrNotAtAll(t *testing.T) {
	t.Parallel()
	grants := groupGrants{{Group: "ops", Grant: provision.Grant{Provider: "acme", Role: provision.RoleOperator}}}
	whole := oidcOptions{OIDCIssuer: "https://login.provider.example/realms/acme", OIDCClientID: "console", OIDCGrants: grants}
	require.NoError(t, whole.Validate())
	require.NoError(t, oidcOptions{}.Validate())
	require.Nil(t, oidcOptions{}.issuer(nil))
	require.Equal(t, []console.GroupGrant(grants), whole.issuer(nil).Grants)

	for message, change := range map[string]func(*oidcOptions){
		"QM_OIDC_ISSUER is missing":                               func(o *oidcOptions) { o.OIDCIssuer = "" },
		`QM_OIDC_ISSUER: "login.example" is not the URL`:          func(o *oidcOptions) { o.OIDCIssuer = "login.example" },
		`QM_OIDC_ISSUER: "https://x.example?a=b" is not the URL`:  func(o *oidcOptions) { o.OIDCIssuer = "https://x.example?a=b" },
		`QM_OIDC_ISSUER: "http://login.example" is not https`:     func(o *oidcOptions) { o.OIDCIssuer = "http://login.example" },
		"QM_OIDC_CLIENT_ID is missing":                            func(o *oidcOptions) { o.OIDCClientID = "" },
		"QM_OIDC_GRANTS is missing: without it no one has a role": func(o *oidcOptions) { o.OIDCGrants = nil },
	} {
		o := whole
		change(&o)
		require.ErrorContains(t, o.Validate(), message)
	}
	for _, local := range []string{"http://127.0.0.1:9998", "http://localhost"} {
		o := whole
		o.OIDCIssuer = local
		require.NoError(t, o.Validate())
	}
}

// The options are checked before the process connects to anything, with all other options of the command.
func TestTheAPIRefusesGrantsThatItCannotRead(t *testing.T) {
	start := func() error {
		_, err := call(t, "api", "--database-url=postgres://nowhere.invalid/x", "--public-url=http://127.0.0.1:1", "--seal-keys=none")
		return err
	}
	t.Setenv("QM_OIDC_GRANTS", "shop=acme:marketplace(nordic+baltic),ops=acme:root")
	require.ErrorContains(t, start(), `--oidc-grants: "ops=acme:root": "root" is not a role: use marketplace, viewer, operator or admin`)
	t.Setenv("QM_OIDC_GRANTS", "shop=acme:marketplace(nordic+baltic)")
	require.ErrorContains(t, start(), "QM_OIDC_ISSUER is missing")
	t.Setenv("QM_OIDC_ISSUER", "https://login.provider.example")
	require.ErrorContains(t, start(), "QM_OIDC_CLIENT_ID is missing")
	t.Setenv("QM_AWS_ENDPOINT", "http://simulator.example:1")
	require.ErrorContains(t, start(), "only a loopback address is allowed")
}

func TestGrantsAtUnknownProvidersAreLogged(t *testing.T) {
	t.Parallel()
	s := setupAPI(t)
	grants, err := console.ParseGroupGrants("ops=acme:operator,others=acmee:viewer")
	require.NoError(t, err)
	var log bytes.Buffer
	o := oidcOptions{OIDCIssuer: "https://login.provider.example", OIDCGrants: grants}
	require.NoError(t, o.warnOfStrangers(t.Context(), s.store.Providers, slog.New(slog.NewTextHandler(&log, nil))))
	require.Contains(t, log.String(), "provider=acmee")
	require.NotContains(t, log.String(), "provider=acme\n")
}
