package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"regexp"
	"strings"

	"github.com/labstack/echo/v4"

	"quartermaster/internal/provision"
)

// caller is who sent the request. KeyID and Provider are empty on operations that need no key.
type caller struct {
	Provider string
	KeyID    string
	IP       string
}

type callerKey struct{}

func withCaller(ctx context.Context, who caller) context.Context {
	return context.WithValue(ctx, callerKey{}, who)
}

func callerOf(ctx context.Context) caller {
	who, _ := ctx.Value(callerKey{}).(caller)
	return who
}

// Actor is the caller as audit rows name it.
func (c caller) Actor() string { return "key " + c.KeyID }

const apiKeyPrefix = "qm_live_"

// NewKey makes an API key of a provider. The text is shown to its owner once and stored nowhere; the key holds the
// SHA-256 of the part behind the id.
func NewKey(provider, name string) (text string, key provision.APIKey) {
	var id [6]byte
	var random [32]byte
	_, _ = rand.Read(id[:]) // never fails: crypto/rand.Read ends the program rather than return an error
	_, _ = rand.Read(random[:])
	secret := base64.RawURLEncoding.EncodeToString(random[:])
	sum := sha256.Sum256([]byte(secret))
	key = provision.APIKey{ID: hex.EncodeToString(id[:]), Provider: provider, Name: name, SecretSHA256: sum[:]}
	return apiKeyPrefix + key.ID + "_" + secret, key
}

// keyIDPattern keeps rubbish away from the database.
var keyIDPattern = regexp.MustCompile(`^[0-9A-Za-z-]{1,40}$`)

// splitKey takes the key's id and secret out of the Authorization header.
func splitKey(header string) (id, secret string, ok bool) {
	scheme, text, found := strings.Cut(header, " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return "", "", false
	}
	text, found = strings.CutPrefix(strings.TrimSpace(text), apiKeyPrefix)
	if !found || len(text) > 200 {
		return "", "", false
	}
	id, secret, found = strings.Cut(text, "_")
	return id, secret, found && keyIDPattern.MatchString(id) && secret != ""
}

const howToAuthenticate = `send the header "Authorization: Bearer qm_live_…" with a key that is neither expired nor revoked`

// authenticate puts the caller into the request's context; an operation that needs a key is refused without a valid one.
func (s *server) authenticate(op *operation) echo.MiddlewareFunc {
	return func(next echo.HandlerFunc) echo.HandlerFunc {
		return func(c echo.Context) error {
			ctx := c.Request().Context()
			who := caller{IP: c.RealIP()}
			if !op.public {
				key, err := s.apiKey(ctx, c.Request().Header.Get(echo.HeaderAuthorization))
				if err != nil {
					return err
				}
				who.Provider, who.KeyID = key.Provider, key.ID
			}
			c.SetRequest(c.Request().WithContext(withCaller(ctx, who)))
			return next(c)
		}
	}
}

// apiKey is the valid key that the header holds. Only who knows the secret learns that the key has expired.
func (s *server) apiKey(ctx context.Context, header string) (provision.APIKey, error) {
	id, secret, ok := splitKey(header)
	if !ok {
		return provision.APIKey{}, problem(codeUnauthorized, howToAuthenticate)
	}
	key, err := s.Store.APIKey(ctx, id)
	if errors.Is(err, provision.ErrNotFound) {
		return provision.APIKey{}, problem(codeUnauthorized, howToAuthenticate)
	}
	if err != nil {
		return provision.APIKey{}, err
	}
	sum := sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(sum[:], key.SecretSHA256) != 1 {
		return provision.APIKey{}, problem(codeUnauthorized, howToAuthenticate)
	}
	switch {
	case key.RevokedAt != nil:
		return provision.APIKey{}, problem(codeUnauthorized, "API key %s is revoked: use another one", key.ID)
	case key.ExpiresAt != nil && !s.Now().Before(*key.ExpiresAt):
		return provision.APIKey{}, problem(codeUnauthorized, "API key %s has expired: use another one", key.ID)
	}
	return key, nil
}
