// Package issuertest runs an issuer of OpenID Connect on the loopback, for the tests of the console. The protocol is that of
// github.com/zitadel/oidc: discovery, authorization codes with PKCE, ID tokens, keys and the userinfo endpoint. The package adds
// people, a page on which they sign in, and faults.
package issuertest
