package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// keyRoutes are the pages of API keys.
func keyRoutes(with func(scope provision.Scope, pattern string, handle handler)) {
	with(provision.ScopeKeysRead, "GET /{provider}/keys", keys)
	with(provision.ScopeKeysWrite, "GET /{provider}/keys/new", fresh(newKey))
	with(provision.ScopeKeysWrite, "POST /{provider}/keys/new", fresh(createKey))
	with(provision.ScopeKeysRead, "GET /{provider}/keys/{key}", key)
	with(provision.ScopeKeysWrite, "GET /{provider}/keys/{key}/rotate", fresh(keyRotation))
	with(provision.ScopeKeysWrite, "POST /{provider}/keys/{key}/rotate", fresh(rotateKey))
	with(provision.ScopeKeysWrite, "GET /{provider}/keys/{key}/revoke", keyRevocation)
	with(provision.ScopeKeysWrite, "POST /{provider}/keys/{key}/revoke", revokeKey)
}

// keysData is what the list of API keys shows.
type keysData struct {
	Found openapi.APIKeyPage
	Roles loaded[openapi.Roles]
	Next  string
}

// keys answers GET /{provider}/keys: who may do what?
func keys(p *page) error {
	var (
		data  keysData
		parts errgroup.Group
		err   error
	)
	load(&parts, &data.Roles, func() (*http.Response, error) { return p.API.ListRoles(p.ctx()) })
	data.Found, err = read[openapi.APIKeyPage](p.API.ListAPIKeys(p.ctx(),
		&openapi.ListAPIKeysParams{Limit: new(listLimit), Cursor: p.cursor()}))
	_ = parts.Wait() // each part has its own error
	if err != nil {
		return err
	}
	data.Next = p.nextPage(data.Found.NextCursor)
	return p.show("keys", "API keys", data)
}

// keyData is what the page of an API key shows.
type keyData struct {
	Key     openapi.APIKey
	Role    openapi.RoleDescription // of the key; empty: it could not be read
	History loaded[openapi.HistoryPage]
}

// key answers GET /{provider}/keys/{key}.
func key(p *page) error {
	var (
		data  keyData
		roles loaded[openapi.Roles]
		parts errgroup.Group
		err   error
	)
	id := p.r.PathValue("key")
	load(&parts, &roles, func() (*http.Response, error) { return p.API.ListRoles(p.ctx()) })
	load(&parts, &data.History, func() (*http.Response, error) {
		return p.API.ListHistory(p.ctx(), &openapi.ListHistoryParams{KeyID: &id, Limit: new(20)})
	})
	data.Key, err = read[openapi.APIKey](p.API.GetAPIKey(p.ctx(), id))
	_ = parts.Wait() // each part has its own error
	if err != nil {
		return err
	}
	for _, role := range roles.Value.Items {
		if role.Role == data.Key.Role {
			data.Role = role
		}
	}
	return p.show("key", data.Key.Name, data)
}

// All reports whether the key has every scope of its role.
func (d keyData) All() bool { return len(d.Key.Scopes) >= len(d.Role.Scopes) }

// Works reports whether the key is valid.
func (p *page) Works(k openapi.APIKey) bool {
	return k.RevokedAt == nil && (k.ExpiresAt == nil || p.Now.Before(*k.ExpiresAt))
}

// Own reports whether the session was started with that key.
func (p *page) Own(id string) bool { return p.Session.KeyID == id }

// keyEvents are the entries of a key's history in words.
var keyEvents = map[string]string{
	"created": "Made", "rotated": "Replaced", "revoked": "Revoked", "signed_in": "Signed in", "signed_out": "Signed out",
}

// keyEvent returns what an entry of a key's history says.
func keyEvent(code *string) string {
	if code == nil {
		return ""
	}
	if word, ok := keyEvents[*code]; ok {
		return word
	}
	return *code
}

// keyFacts is what a person should know before a key is replaced or revoked.
func (p *page) keyFacts(k openapi.APIKey) []fact {
	facts := []fact{
		{"Key id", k.ID}, {"Role", string(k.Role)}, {"Last used", p.TimeOr(k.LastUsedAt, "never")}, {"Ends", p.TimeOr(k.ExpiresAt, "never")},
	}
	if p.Own(k.ID) {
		facts = append(facts, fact{"Mind", "You are signed in with this key. When it ends, so does your session."})
	}
	return facts
}

// keyOverlaps are how long a replaced key may work as well, in hours.
var keyOverlaps = []option{{"24", "1 day"}, {"1", "1 hour"}, {"72", "3 days"}, {"168", "7 days"}, {"720", "30 days"}}

func (p *page) rotationReview(k openapi.APIKey, f *form) connectionReview {
	return connectionReview{
		Heading: "Replace the key", Name: k.Name, Back: p.URL("keys", k.ID), Status: p.KeyStatus(k), Facts: p.keyFacts(k),
		Does: []string{
			"A new key with the same name, role, scopes, marketplaces and limit is made. It is shown once, on the next page.",
			"The old key works as well for as long as you choose, so that you can deploy the new one.",
			"If the old key has fallen into the wrong hands, revoke it as soon as the new one is in use.",
		},
		Form: f, Button: "Replace the key", Overlaps: keyOverlaps,
	}
}

// keyRotation answers GET /{provider}/keys/{key}/rotate.
func keyRotation(p *page) error {
	k, err := read[openapi.APIKey](p.API.GetAPIKey(p.ctx(), p.r.PathValue("key")))
	if err != nil {
		return err
	}
	return p.show("connection-review", "Replace the key", p.rotationReview(k, p.onceForm(nil)))
}

// rotateKey answers POST /{provider}/keys/{key}/rotate.
func rotateKey(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	k, err := read[openapi.APIKey](p.API.GetAPIKey(p.ctx(), p.r.PathValue("key")))
	if err != nil {
		return err
	}
	made, err := read[openapi.RotatedAPIKey](p.API.RotateAPIKey(p.ctx(), k.ID,
		&openapi.RotateAPIKeyParams{IdempotencyKey: f.optional(onceField)}, openapi.KeyRotation{OverlapHours: f.overlap()}))
	if earlier := madeEarlier(err); earlier != nil {
		return p.showSpent(p.spentKey(earlier))
	}
	if err != nil && f.refuseOnce(err) {
		return p.again(f, "connection-review", "Replace the key", p.rotationReview(k, f))
	}
	if err != nil {
		return err
	}
	notes := []string{keyNote}
	if end := made.Replaced.ExpiresAt; end != nil {
		notes = append(notes, "The old key "+k.ID+" works as well until "+p.Moment(*end)+" "+p.ZoneName()+".")
	}
	return p.showSecret("The key is replaced", secretData{
		Label: "API key", Secret: made.Secret, Name: made.APIKey.Name, URL: p.URL("keys", made.APIKey.ID), Notes: notes})
}

// keyNote says how a key is kept.
const keyNote = "Keep it in a secret store. Programs send it as Authorization: Bearer; people sign in to this console with it."

// spentKey says which key an earlier form made.
func (p *page) spentKey(earlier *openapi.EarlierRequest) spentData {
	return spentData{At: earlier.At, Name: "API key " + earlier.ID, URL: p.URL("keys", earlier.ID),
		Replace: p.URL("keys", earlier.ID, "rotate")}
}

func (p *page) revocationReview(k openapi.APIKey, f *form) connectionReview {
	return connectionReview{
		Heading: "Revoke the key", Name: k.Name, Back: p.URL("keys", k.ID), Status: p.KeyStatus(k), Facts: p.keyFacts(k),
		Does: []string{
			"The next request with this key is refused, and browsers that signed in with it are signed out.",
			"There is no way back. To give a program a new key without a gap, replace the key instead.",
		},
		Form: f, Button: "Revoke the key", Danger: true, Reason: true,
	}
}

// keyRevocation answers GET /{provider}/keys/{key}/revoke.
func keyRevocation(p *page) error {
	k, err := read[openapi.APIKey](p.API.GetAPIKey(p.ctx(), p.r.PathValue("key")))
	if err != nil {
		return err
	}
	return p.show("connection-review", "Revoke the key", p.revocationReview(k, p.newForm(url.Values{})))
}

// revokeKey answers POST /{provider}/keys/{key}/revoke.
func revokeKey(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	k, err := read[openapi.APIKey](p.API.GetAPIKey(p.ctx(), p.r.PathValue("key")))
	if err != nil {
		return err
	}
	data := p.revocationReview(k, f)
	if f.Value("reason") == "" {
		return p.noReason(f, data.Heading, data)
	}
	_, err = read[openapi.APIKey](p.API.RevokeAPIKey(p.ctx(), k.ID, openapi.KeyRevocation{Reason: f.optional("reason")}))
	if err != nil && f.refuseOnce(err) {
		return p.again(f, "connection-review", data.Heading, data)
	}
	if err != nil {
		return err
	}
	if p.Own(k.ID) {
		return p.redirect(p.Home()+"sign-in", "The key is revoked, and your session with it. Sign in with another key.")
	}
	return p.redirect(p.URL("keys", k.ID), "The key is revoked.")
}

// scopesOf lists all scopes that roles have, each with the roles.
func scopesOf(roles openapi.Roles) (scopes []option) {
	for _, role := range roles.Items {
		for _, scope := range role.Scopes {
			if at := slices.IndexFunc(scopes, func(o option) bool { return o.Value == string(scope) }); at >= 0 {
				scopes[at].Label += ", " + string(role.Role)
			} else {
				scopes = append(scopes, option{string(scope), string(role.Role)})
			}
		}
	}
	slices.SortFunc(scopes, func(a, b option) int { return strings.Compare(a.Value, b.Value) })
	return scopes
}
