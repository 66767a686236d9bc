package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"

	"quartermaster/internal/apikey"
	"quartermaster/internal/provision"
)

// caller is who sent the request: an API key, or a person. All but IP is empty on operations that need no key.
type caller struct {
	Provider string
	Tenant   provision.Tenant // the provider, with the marketplaces that the caller is bound to
	ID       string           // names one key or one person among all callers, in budgets and lists of what is the caller's own
	KeyID    string           // of a key; empty: a person
	IP       string

	grant     provision.Grant
	rateLimit *float64 // the caller's own; nil: the server's default
	actor     string
}

// May reports whether the caller has the scope. The scope of the operation itself is checked before its handler runs.
func (c caller) May(scope provision.Scope) bool { return c.grant.May(scope) }

type callerKey struct{}

func withCaller(ctx context.Context, who caller) context.Context {
	return context.WithValue(ctx, callerKey{}, who)
}

func callerOf(ctx context.Context) caller {
	who, _ := ctx.Value(callerKey{}).(caller)
	return who
}

// Actor is the name of the caller in histories.
func (c caller) Actor() string { return c.actor }

// keyCaller returns the caller that a valid key identifies.
func keyCaller(key provision.APIKey) caller {
	id := "key " + key.ID
	return caller{
		Provider: key.Provider, Tenant: key.Grant().Tenant(), ID: id, KeyID: key.ID,
		grant: key.Grant(), rateLimit: key.RateLimit, actor: id,
	}
}

// personCaller returns the caller that is a person with the grant.
func personCaller(person provision.Person, grant provision.Grant) caller {
	return caller{
		Provider: grant.Provider, Tenant: grant.Tenant(), ID: "person " + person.Subject + " of " + person.Issuer,
		grant: grant, actor: person.Actor(),
	}
}

// kind is the word for the caller in messages.
func (c caller) kind() string {
	if c.KeyID == "" {
		return "person"
	}
	return "key"
}

// splitKey returns the key's id and secret from the Authorization header.
func splitKey(header string) (id, secret string, ok bool) {
	scheme, text, found := strings.Cut(header, " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", "", false
	}
	return apikey.Parse(text)
}

const howToAuthenticate = `send the header "Authorization: Bearer qm_live_…" with a key that is neither expired nor revoked`

// authenticate puts the caller into the request's context; an operation that needs a caller is refused without a valid one.
func (s *service) authenticate(op *operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) (err error) {
			ctx := c.Request().Context()
			var who caller
			if principal, signedIn := principalOf(ctx); op.public {
				who = caller{}
			} else if signedIn {
				who, err = s.signedIn(ctx, principal)
			} else {
				who, err = s.withKey(ctx, c.RealIP(), c.Request().Header.Get(echo.HeaderAuthorization))
			}
			if err != nil {
				return err
			}
			who.IP = c.RealIP()
			c.SetRequest(c.Request().WithContext(withCaller(ctx, who)))
			return next(c)
		}
	}
}

// withKey returns the caller whose valid key is in the header.
func (s *service) withKey(ctx context.Context, ip, header string) (caller, error) {
	key, err := s.apiKey(ctx, ip, header)
	if err != nil {
		return caller{}, err
	}
	s.noteUse(ctx, key)
	return keyCaller(key), nil
}

// apiKey returns the valid key of the header. Only a caller who knows the secret learns that a key has expired. An invalid key
// counts against the limit of its address.
func (s *service) apiKey(ctx context.Context, ip, header string) (provision.APIKey, error) {
	id, secret, ok := splitKey(header)
	if !ok {
		return provision.APIKey{}, s.guess(ip, problem(codeUnauthorized, howToAuthenticate))
	}
	sum := sha256.Sum256([]byte(secret))
	if why := s.keys.invalid.get(keyText{id, sum}, s.Now()); why != nil {
		return provision.APIKey{}, s.guess(ip, why)
	}
	key, found, err := s.keys.key(ctx, s.APIKeys.Find, id, sum)
	if err != nil { // the database failed, which says nothing about the key
		return provision.APIKey{}, err
	}
	if why := s.opens(key, found, sum); why != nil {
		s.keys.noteInvalid(id, sum, why, s.Now())
		return provision.APIKey{}, s.guess(ip, why)
	}
	s.keys.noteValid(id, sum)
	return key, nil
}

// guess charges an invalid key to the address that it came from. It returns why the key is invalid, or that the address has sent
// too many of them.
func (s *service) guess(ip string, why error) error {
	if err := s.budgets.take(s.guessBudget(ip)); err != nil {
		return err
	}
	return why
}

// opens refuses an unknown key, a wrong secret, and a key that is revoked or has expired.
func (s *service) opens(key provision.APIKey, found bool, sum [sha256.Size]byte) error {
	if !found || subtle.ConstantTimeCompare(sum[:], key.SecretSHA256) != 1 {
		return problem(codeUnauthorized, howToAuthenticate)
	}
	return s.alive(key)
}

const useEvery = time.Minute // how often the use of a key is recorded at most

// noteUse records that the key was used. If that fails, the request continues.
func (s *service) noteUse(ctx context.Context, key provision.APIKey) {
	if key.LastUsedAt != nil && s.Now().Sub(*key.LastUsedAt) < useEvery {
		return
	}
	if err := s.APIKeys.NoteUse(ctx, key.ID); err != nil {
		s.Log.WarnContext(ctx, "could not record the use of an API key", "key", key.ID, "error", err)
	}
}

const keyScheme = "apiKey" // the security scheme of the document

// anyKey is the security of an operation that every valid key may call.
func anyKey(security openapi3.SecurityRequirements) bool {
	if len(security) != 1 || len(security[0]) != 1 {
		return false
	}
	scopes, names := security[0][keyScheme]
	return names && len(scopes) == 0
}

// scopesOf returns the scopes of an operation, of which a caller needs one. There are none if the operation explicitly needs no key
// (public), or any valid one. An operation that says nothing is an error, so that none is left open by mistake.
func scopesOf(op *openapi3.Operation) (scopes []provision.Scope, public bool, err error) {
	if op.Security == nil {
		return nil, false, errors.New("says nothing about security: name its scope, as in [{apiKey: [orders:read]}], " +
			"or write [{apiKey: []}] if every key may do that, or [] if anyone may")
	}
	if anyKey(*op.Security) {
		return nil, false, nil
	}
	for _, alternative := range *op.Security {
		names := alternative[keyScheme]
		if len(alternative) != 1 || len(names) != 1 {
			return nil, false, fmt.Errorf("needs %v: name exactly one scope, as in [{apiKey: [orders:read]}]", alternative)
		}
		scope := provision.Scope(names[0])
		if !scope.Known() {
			return nil, false, fmt.Errorf("%q is not a scope: use one of %s", scope, provision.JoinWords(provision.RoleAdmin.Scopes(), "or"))
		}
		scopes = append(scopes, scope)
	}
	return scopes, len(scopes) == 0, nil
}

// authorize refuses a key that has none of the scopes of the operation.
func (s *service) authorize(op *operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if who := callerOf(c.Request().Context()); len(op.scopes) > 0 && !slices.ContainsFunc(op.scopes, who.May) {
				return forbidden(who, op.scopes...)
			}
			return next(c)
		}
	}
}

// forbidden says which scope is missing, or which scopes of which one is needed, and which roles have it.
func forbidden(who caller, scopes ...provision.Scope) *problemError {
	needed := "the scope " + provision.JoinWords(scopes, "or")
	if len(scopes) > 1 {
		needed = "one of the scopes " + provision.JoinWords(scopes, "or")
	}
	role := who.grant.Role
	roles := slices.DeleteFunc(slices.Clone(provision.Roles), func(r provision.Role) bool { return !slices.ContainsFunc(scopes, r.Allows) })
	why := "which a " + who.kind() + " of role " + string(role) + " does not have"
	if who.KeyID == "" {
		return problem(codeForbidden, "this requires %s, %s: ask an admin for the role %s", needed, why, provision.JoinWords(roles, "or"))
	}
	if slices.ContainsFunc(scopes, role.Allows) {
		why = "which a key of role " + string(role) + " has, but API key " + who.KeyID + " was created with fewer scopes"
	}
	return problem(codeForbidden, "this requires %s, %s: use a key of role %s", needed, why, provision.JoinWords(roles, "or"))
}

// signedIn returns the caller whom the console has signed in. A key's row is read again, so that its end holds at once.
func (s *service) signedIn(ctx context.Context, who provision.Principal) (caller, error) {
	if who.KeyID == "" {
		return personCaller(who.Person, who.Grant), nil
	}
	keys, err := s.APIKeys.Find(ctx, who.KeyID)
	if err != nil {
		return caller{}, err
	}
	if len(keys) == 0 {
		return caller{}, problem(codeUnauthorized, "API key %s does not exist: sign in again", who.KeyID)
	}
	if err := s.alive(keys[0]); err != nil {
		return caller{}, err
	}
	s.noteUse(ctx, keys[0])
	return keyCaller(keys[0]), nil
}

// alive refuses a key that is revoked or has expired.
func (s *service) alive(key provision.APIKey) error {
	switch {
	case key.RevokedAt != nil:
		return problem(codeUnauthorized, "API key %s is revoked: use another one", key.ID)
	case !key.Live(s.Now()):
		return problem(codeUnauthorized, "API key %s has expired: use another one", key.ID)
	}
	return nil
}
