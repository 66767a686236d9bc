package console

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"time"

	"quartermaster/internal/provision"
)

// NewLink returns an address of the console that signs its first visitor in as the owner of the session, and works once. It is for
// installations on a developer's own machine: anyone who has the link is signed in.
func NewLink(ctx context.Context, sessions Sessions, publicURL string, session provision.Session, lifetime time.Duration) (string, error) {
	token, hash := newToken()
	session.Hash, session.SignedInAt, session.EndsAt = hash, time.Now(), time.Now().Add(lifetime)
	if err := sessions.Start(ctx, session, time.Time{}); err != nil {
		return "", err
	}
	return publicURL + "/console/-/enter?" + url.Values{"ticket": {token}}.Encode(), nil
}

// enterPage shows who the link of NewLink signs in. A GET changes nothing, so that a preview of the link does not use it up.
func enterPage(p *page) error {
	session, err := p.ofTicket(p.Query("ticket"))
	if err != nil {
		return err
	}
	return p.show("enter", "Sign in", enterData{Ticket: p.Query("ticket"), Who: session.Actor(), Role: session.Grants[0].Role,
		Provider: session.Grants[0].Provider})
}

// enterData is what the page of a link shows.
type enterData struct {
	Ticket, Who, Provider string
	Role                  provision.Role
}

// enter signs the visitor in, and ends the link.
func enter(p *page) error {
	form, err := p.sent()
	if err != nil {
		return err
	}
	session, err := p.ofTicket(form.Value("ticket"))
	if err != nil {
		return err
	}
	ticket := session.Hash
	if err := p.begin(session, p.Now); err != nil {
		return err
	}
	if err := p.console.Sessions.End(p.ctx(), session.Actor(), ticket); err != nil {
		return err
	}
	return p.redirect(p.Home(), "")
}

// ofTicket returns the session that belongs to a link.
func (p *page) ofTicket(ticket string) (provision.Session, error) {
	sum := sha256.Sum256([]byte(ticket))
	session, err := p.console.session(p.ctx(), sum[:])
	if errors.Is(err, provision.ErrNotFound) {
		return session, &problem{status: http.StatusNotFound, title: "The link no longer works",
			detail: "It works once, and for a limited time. Sign in with an API key instead."}
	}
	return session, err
}
