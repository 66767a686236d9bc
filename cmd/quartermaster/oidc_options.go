package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"

	"quartermaster/console"
	"quartermaster/internal/postgres"
	"quartermaster/internal/provision"
)

// oidcOptions name the issuer by which people sign in to the console.
type oidcOptions struct {
	OIDCIssuer       string      `name:"oidc-issuer" help:"Issuer of OpenID Connect by which people sign in to the console. Unset: API keys only." env:"QM_OIDC_ISSUER" placeholder:"URL"`
	OIDCClientID     string      `name:"oidc-client-id" help:"Client id of the console at the issuer. Its redirect URI is QM_PUBLIC_URL and /console/-/oidc/callback." env:"QM_OIDC_CLIENT_ID" placeholder:"ID"`
	OIDCClientSecret string      `name:"oidc-client-secret" help:"Secret of the client. Unset: a public client." env:"QM_OIDC_CLIENT_SECRET" placeholder:"SECRET"`
	OIDCName         string      `name:"oidc-name" help:"Name of the issuer on the sign-in page. Unset: its host." env:"QM_OIDC_NAME" placeholder:"NAME"`
	OIDCGroupsClaim  string      `name:"oidc-groups-claim" help:"Claim that names the groups of a person." env:"QM_OIDC_GROUPS_CLAIM" default:"groups" placeholder:"CLAIM"`
	OIDCGrants       groupGrants `name:"oidc-grants" help:"Roles of groups, as group=provider:role, with commas or line breaks between them, such as platform-team=acme:operator,shop=acme:marketplace(nordic+baltic)." env:"QM_OIDC_GRANTS" placeholder:"GRANTS"`
}

// groupGrants is an option that gives groups of the issuer roles.
type groupGrants []console.GroupGrant

// UnmarshalText refuses what grants nothing.
func (g *groupGrants) UnmarshalText(text []byte) error {
	parsed, err := console.ParseGroupGrants(string(text))
	*g = parsed
	return err
}

// Validate refuses half an issuer, and one to which codes would travel in clear text.
func (o oidcOptions) Validate() error {
	if o.OIDCIssuer == "" {
		if o.OIDCClientID != "" || o.OIDCClientSecret != "" || o.OIDCName != "" || o.OIDCGrants != nil {
			return errors.New("QM_OIDC_ISSUER is missing: the other QM_OIDC_ variables need it")
		}
		return nil
	}
	at, err := url.Parse(o.OIDCIssuer)
	switch {
	case err != nil || at.Host == "" || at.RawQuery != "" || at.Fragment != "":
		return fmt.Errorf("QM_OIDC_ISSUER: %q is not the URL of an issuer: write it as https://login.provider.example", o.OIDCIssuer)
	case at.Scheme != "https" && (at.Scheme != "http" || loopbackURL(at) != nil):
		return fmt.Errorf("QM_OIDC_ISSUER: %q is not https", o.OIDCIssuer)
	case o.OIDCClientID == "":
		return errors.New("QM_OIDC_CLIENT_ID is missing: register the console as a client at the issuer")
	case o.OIDCGrants == nil:
		return errors.New("QM_OIDC_GRANTS is missing: without it no one has a role. " +
			"Write group=provider:role, such as platform-team=acme:operator")
	}
	return nil
}

// loopbackURL refuses an address that is not on this machine.
func loopbackURL(at *url.URL) error {
	if at.Port() == "" {
		return loopback("QM_OIDC_ISSUER", at.Host+":80")
	}
	return loopback("QM_OIDC_ISSUER", at.Host)
}

// issuer returns the issuer of the console; nil: there is none.
func (o oidcOptions) issuer(sealer console.Sealer) *console.OIDC {
	if o.OIDCIssuer == "" {
		return nil
	}
	return &console.OIDC{
		Issuer: o.OIDCIssuer, ClientID: o.OIDCClientID, ClientSecret: o.OIDCClientSecret, Name: o.OIDCName, GroupsClaim: o.OIDCGroupsClaim,
		Grants: o.OIDCGrants, Sealer: sealer,
	}
}

// warnOfStrangers logs which grants name a provider that does not exist, or not yet. They do not stop the API, which serves others.
func (o oidcOptions) warnOfStrangers(ctx context.Context, providers postgres.Providers, log *slog.Logger) error {
	if o.OIDCIssuer == "" {
		return nil
	}
	known, err := providers.List(ctx)
	if err != nil {
		return err
	}
	for _, granted := range o.OIDCGrants {
		if !slices.ContainsFunc(known, func(p provision.Provider) bool { return p.ID == granted.Grant.Provider }) {
			log.Warn("QM_OIDC_GRANTS gives a group a role at a provider that does not exist", "group", granted.Group,
				"provider", granted.Grant.Provider)
		}
	}
	return nil
}
