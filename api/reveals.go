package api

import (
	"context"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"path"
	"strings"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"

	"quartermaster/api/openapi/server"
	"quartermaster/internal/provision"
	"quartermaster/internal/secrets"
)

//go:embed reveal
var revealFiles embed.FS

// revealPage serves one file of the page on which a customer reads the password. The token follows the # of the page's URL,
// which browsers do not send to servers; the script of the page posts it.
func revealPage(name string) echo.HandlerFunc {
	content, err := revealFiles.ReadFile("reveal/" + name)
	if err != nil {
		panic("api: " + err.Error()) // embedded: cannot happen
	}
	contentType := mime.TypeByExtension(path.Ext(name))
	return func(c echo.Context) error { return c.Blob(http.StatusOK, contentType, content) }
}

// revealToken is the id of the sealed row with its signature, so that no one can guess or forge a link.
func (s *service) revealToken(id uuid.UUID) string {
	return base64.RawURLEncoding.EncodeToString(id[:]) + "." + base64.RawURLEncoding.EncodeToString(s.Signer.Sign(id[:], revealPurpose))
}

const (
	revealPurpose = "password-link"
	askTheSender  = "ask the person or the company that sent it to you for a new link"
)

// openRevealToken returns the id in a token with a valid signature.
func (s *service) openRevealToken(token string) (id uuid.UUID, ok bool) {
	first, second, found := strings.Cut(token, ".")
	if !found {
		return id, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(first)
	if err != nil || len(raw) != len(id) {
		return id, false
	}
	copy(id[:], raw)
	signature, err := base64.RawURLEncoding.Strict().DecodeString(second)
	return id, err == nil && s.Signer.Verify(id[:], signature, revealPurpose)
}

// RevealPassword answers POST /v1/password-reveals. The first call removes the password from the database, so a second caller
// can never get it.
func (s *service) RevealPassword(ctx context.Context, in server.RevealPasswordRequestObject) (server.RevealPasswordResponseObject, error) {
	id, ok := s.openRevealToken(in.Body.Token)
	if !ok {
		return nil, problem(codeNotFound, "this is not a valid password link: copy the whole link, including its last character")
	}
	var answer server.RevealPassword200JSONResponse
	err := s.Passwords.Reveal(ctx, id.String(), callerOf(ctx).IP, func(r provision.RevealedPassword) error {
		password, err := s.Opener.Open(r.Sealed, provision.PasswordPurpose(r.OrderKey, r.AccountID))
		if errors.Is(err, secrets.ErrUnknownKey) {
			return problem(codeUnavailable, "the password cannot be read at the moment, and the link stays valid: try again in a minute").
				because(fmt.Errorf("password of order %s: %w", r.OrderKey, err))
		}
		if err != nil {
			return problem(provision.CodeInternal,
				"the password cannot be read, and the link stays valid: tell the person or the company that sent it to you").
				because(fmt.Errorf("password of order %s: %w", r.OrderKey, err))
		}
		answer = server.RevealPassword200JSONResponse{SignInURL: r.SignInURL, IAMUserName: r.UserName, Password: string(password)}
		return nil
	})
	switch {
	case errors.Is(err, provision.ErrNotFound):
		return nil, problem(codeNotFound, "this link has no password: "+askTheSender).because(err)
	case errors.Is(err, provision.ErrGone):
		return nil, problem(codeLinkUsedUp, "this link has already been used, was replaced by a newer one, or is older than %d hours: %s",
			int(provision.PasswordLifetime.Hours()), askTheSender).because(err)
	case err != nil:
		return nil, err
	}
	return answer, nil
}
