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

// caller is who sent the request. KeyID, Provider and Tenant are empty on operations that need no key.
type caller struct {
	Provider string
	Tenant   provision.Tenant // the provider, with the marketplaces that the key is bound to
	KeyID    string
	IP       string
	key      provision.APIKey
}

// May reports whether the caller's key has the scope. The scope of the operation itself is checked before its handler runs.
func (c caller) May(scope provision.Scope) bool { return c.KeyID != "" && c.key.May(scope) }

type callerKey struct{}

func withCaller(ctx context.Context, who caller) context.Context {
	return context.WithValue(ctx, callerKey{}, who)
}

func callerOf(ctx context.Context) caller {
	who, _ := ctx.Value(callerKey{}).(caller)
	return who
}

// Actor is the name of the caller in histories.
func (c caller) Actor() string { return "key " + c.KeyID }

// splitKey returns the key's id and secret from the Authorization header.
func splitKey(header string) (id, secret string, ok bool) {
	scheme, text, found := strings.Cut(header, " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", "", false
	}
	return apikey.Parse(text)
}

const howToAuthenticate = `send the header "Authorization: Bearer qm_live_…" with a key that is neither expired nor revoked`

// authenticate puts the caller into the request's context; an operation that needs a key is refused without a valid one.
func (s *service) authenticate(op *operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			ctx := c.Request().Context()
			who := caller{IP: c.RealIP()}
			if !op.public {
				key, err := s.apiKey(ctx, who.IP, c.Request().Header.Get(echo.HeaderAuthorization))
				if err != nil {
					return err
				}
				who.Provider, who.Tenant, who.KeyID, who.key = key.Provider, key.Tenant(), key.ID, key
				s.noteUse(ctx, key)
			}
			c.SetRequest(c.Request().WithContext(withCaller(ctx, who)))
			return next(c)
		}
	}
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
	switch {
	case !found, subtle.ConstantTimeCompare(sum[:], key.SecretSHA256) != 1:
		return problem(codeUnauthorized, howToAuthenticate)
	case key.RevokedAt != nil:
		return problem(codeUnauthorized, "API key %s is revoked: use another one", key.ID)
	case !key.Live(s.Now()):
		return problem(codeUnauthorized, "API key %s has expired: use another one", key.ID)
	}
	return nil
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

// scopesOf returns the scopes of an operation, of which a key needs one, or none if the operation explicitly needs no key. An
// operation that says nothing is an error, so that none is left open by mistake.
func scopesOf(op *openapi3.Operation) (scopes []provision.Scope, err error) {
	if op.Security == nil {
		return nil, errors.New("says nothing about security: name its scope, as in [{apiKey: [orders:read]}], or write [] if anyone may do that")
	}
	for _, alternative := range *op.Security {
		names := alternative[keyScheme]
		if len(alternative) != 1 || len(names) != 1 {
			return nil, fmt.Errorf("needs %v: name exactly one scope, as in [{apiKey: [orders:read]}]", alternative)
		}
		scope := provision.Scope(names[0])
		if !scope.Known() {
			return nil, fmt.Errorf("%q is not a scope: use one of %s", scope, provision.JoinWords(provision.RoleAdmin.Scopes(), "or"))
		}
		scopes = append(scopes, scope)
	}
	return scopes, nil
}

// authorize refuses a key that has none of the scopes of the operation.
func (s *service) authorize(op *operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			if who := callerOf(c.Request().Context()); !op.public && !slices.ContainsFunc(op.scopes, who.May) {
				return forbidden(who.key, op.scopes...)
			}
			return next(c)
		}
	}
}

// forbidden says which scope is missing, or which scopes of which one is needed, and which roles have it.
func forbidden(key provision.APIKey, scopes ...provision.Scope) *problemError {
	needed := "the scope " + provision.JoinWords(scopes, "or")
	if len(scopes) > 1 {
		needed = "one of the scopes " + provision.JoinWords(scopes, "or")
	}
	why := "which a key of role " + string(key.Role) + " does not have"
	if slices.ContainsFunc(scopes, key.Role.Allows) {
		why = "which a key of role " + string(key.Role) + " has, but API key " + key.ID + " was created with fewer scopes"
	}
	roles := slices.DeleteFunc(slices.Clone(provision.Roles), func(r provision.Role) bool { return !slices.ContainsFunc(scopes, r.Allows) })
	return problem(codeForbidden, "this requires %s, %s: use a key of role %s", needed, why, provision.JoinWords(roles, "or"))
}
