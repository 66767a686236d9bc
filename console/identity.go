package console

import (
	"cmp"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"

	"golang.org/x/oauth2"

	"github.com/coreos/go-oidc/v3/oidc"

	"quartermaster/internal/provision"
)

// errTooLong reports that a value does not fit into a cookie.
var errTooLong = errors.New("too long for a cookie")

// identity is what the issuer says about a person.
type identity struct {
	Person   provision.Person
	Groups   []string
	TooMany  bool      // the issuer did not send the groups, because the person is in too many
	ProvedAt time.Time // when the person last proved to the issuer who it is
}

// identify exchanges the code for the identity of the person. No token is kept.
func (i *issuer) identify(ctx context.Context, begun round, code string, now time.Time) (identity, error) {
	ctx = i.context(ctx)
	known, err := i.discover(ctx)
	if err != nil {
		return identity{}, err
	}
	tokens, err := known.oauth.Exchange(ctx, code, oauth2.VerifierOption(begun.Verifier))
	if err != nil {
		return identity{}, err
	}
	raw, _ := tokens.Extra("id_token").(string)
	if raw == "" {
		return identity{}, errors.New("the issuer sent no ID token")
	}
	token, err := known.Verifier(&oidc.Config{ClientID: i.ClientID, Now: func() time.Time { return now }}).Verify(ctx, raw)
	if err != nil {
		return identity{}, err
	}
	if subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(begun.Nonce)) != 1 {
		return identity{}, errors.New("the ID token has the nonce of another sign-in")
	}
	if token.Subject == "" || len(token.Subject) > 255 {
		return identity{}, fmt.Errorf("the subject of the ID token has %d characters: 1 to 255 are allowed", len(token.Subject))
	}
	var says claims
	if err := token.Claims(&says); err != nil {
		return identity{}, err
	}
	if err := i.complete(ctx, known, token, tokens, says); err != nil {
		return identity{}, err
	}
	return says.identity(i, token.Subject, now)
}

// complete adds what only the userinfo endpoint says: some issuers keep the ID token short.
func (i *issuer) complete(ctx context.Context, known *endpoints, token *oidc.IDToken, tokens *oauth2.Token, says claims) error {
	if (says.has(i.GroupsClaim) || says.tooMany(i.GroupsClaim)) && (says.has("email") || says.has("preferred_username")) {
		return nil
	}
	if known.UserInfoEndpoint() == "" {
		return nil
	}
	if token.AccessTokenHash != "" {
		if err := token.VerifyAccessToken(tokens.AccessToken); err != nil {
			return err
		}
	}
	info, err := known.UserInfo(ctx, oauth2.StaticTokenSource(tokens))
	if err != nil {
		return err
	}
	if info.Subject != token.Subject {
		return errors.New("the userinfo endpoint answered about another person")
	}
	var more claims
	if err := info.Claims(&more); err != nil {
		return err
	}
	for name, value := range more {
		if !says.has(name) {
			says[name] = value
		}
	}
	return nil
}

// claims are what the issuer says about a person, by name.
type claims map[string]json.RawMessage

func (c claims) has(name string) bool {
	_, found := c[name]
	return found
}

// text returns a claim that is a text; empty if it is none.
func (c claims) text(name string) (text string) {
	_ = json.Unmarshal(c[name], &text) // a claim of another type is as good as none
	return text
}

// tooMany reports whether the issuer sent a reference in place of a claim, as Microsoft Entra ID does for more than 200 groups.
func (c claims) tooMany(name string) bool {
	var elsewhere map[string]json.RawMessage
	_ = json.Unmarshal(c["_claim_names"], &elsewhere) // see text
	_, found := elsewhere[name]
	return found
}

// identity reads the claims.
func (c claims) identity(i *issuer, subject string, now time.Time) (identity, error) {
	who := identity{TooMany: !c.has(i.GroupsClaim) && c.tooMany(i.GroupsClaim), ProvedAt: now}
	if c.has(i.GroupsClaim) && json.Unmarshal(c[i.GroupsClaim], &who.Groups) != nil {
		var one string
		if json.Unmarshal(c[i.GroupsClaim], &one) != nil {
			return who, fmt.Errorf("the claim %q is neither a text nor a list of texts", i.GroupsClaim)
		}
		who.Groups = []string{one}
	}
	email := c.text("email")
	if verified := string(c["email_verified"]); verified == "false" || verified == `"false"` {
		email = ""
	}
	name := plainLine(cmp.Or(email, c.text("preferred_username"), c.text("name"), subject), 200)
	who.Person = provision.Person{Issuer: i.Issuer, Subject: plainLine(subject, 255), Name: name}
	var seconds float64
	if json.Unmarshal(c["auth_time"], &seconds) == nil {
		if at := time.Unix(int64(seconds), 0); at.Before(now) {
			who.ProvedAt = at
		}
	}
	return who, nil
}

// plainLine returns the text without what is no character to see, on one line, cut after some characters.
func plainLine(text string, most int) string {
	words := strings.FieldsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) })
	text = strings.TrimSuffix(strings.Join(words, " "), ":")
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}

// safeError returns the text of an error of a sign-in, for the log: never an answer of the token endpoint, and no address.
func safeError(err error) string {
	if refused, ok := errors.AsType[*oauth2.RetrieveError](err); ok {
		return fmt.Sprintf("the token endpoint answered %d %s", refused.Response.StatusCode, plainLine(refused.ErrorCode, 60))
	}
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Op + ": " + failed.Err.Error()
	}
	return plainLine(err.Error(), 300)
}
