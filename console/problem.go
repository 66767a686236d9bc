package console

import (
	"errors"
	"log/slog"
	"net/http"
	"time"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// problem is what a page shows when it cannot show what it was asked for.
type problem struct {
	status    int
	title     string
	detail    string
	requestID string
	retry     bool // the same request may succeed later
}

// Error implements error.
func (e *problem) Error() string { return e.detail }

// problemOf returns what a page says about an error.
func problemOf(err error) *problem {
	if own, ok := errors.AsType[*problem](err); ok {
		return own
	}
	if refused, ok := errors.AsType[*openapi.Problem](err); ok {
		return &problem{status: refused.Status, title: refused.Title, detail: refused.Detail, requestID: refused.RequestID,
			retry: refused.Status >= http.StatusInternalServerError || refused.Status == http.StatusTooManyRequests}
	}
	return &problem{status: http.StatusServiceUnavailable, title: "The page could not be read",
		detail: "Nothing was changed. Try again in a moment; if it stays, look at Health.", retry: true}
}

// Title is the heading of the page.
func (e *problem) Title() string { return e.title }

// Detail is what is wrong, and what to do.
func (e *problem) Detail() string { return e.detail }

// RequestID names the request in the log; empty: there is nothing to look for.
func (e *problem) RequestID() string { return e.requestID }

// Retry reports whether the same request may succeed later.
func (e *problem) Retry() bool { return e.retry }

// explain answers with a page that says what is wrong.
func (p *page) explain(err error) {
	shown := problemOf(err)
	if shown.status >= http.StatusInternalServerError {
		p.console.Log.ErrorContext(p.ctx(), "a page of the console failed", "page", p.r.Pattern, "error", err)
	}
	if shown.status == http.StatusUnauthorized && p.API != nil { // the session's key has ended
		err := p.askToSignIn(shown.detail)
		if err == nil {
			return
		}
		shown = problemOf(err)
	}
	if err := p.showStatus(shown.status, "problem", shown.title, shown); err != nil {
		p.console.Log.ErrorContext(p.ctx(), "a page of the console could not be made", "error", err)
		http.Error(p.w, "The page could not be made.", http.StatusInternalServerError)
	}
}

// forbidden names the scope that a page needs, and the roles that have it.
func (p *page) forbidden(scope provision.Scope) error {
	return &problem{status: http.StatusForbidden, title: "You may not see this page",
		detail: "It needs the scope " + string(scope) + ", which your role " + string(p.Grant.Role) + " does not have here. " +
			"The roles that have it: " + provision.JoinWords(scope.Roles(), "and") + ". Ask an admin."}
}

// statusWriter remembers the status of the answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements http.ResponseWriter.
func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func levelOf(status int) slog.Level {
	if status >= http.StatusInternalServerError {
		return slog.LevelError
	}
	return slog.LevelInfo
}

// pageAttrs are what the log says about a page: its pattern, never its address, which may hold what someone searched for.
func pageAttrs(p *page, status int, took time.Duration) []slog.Attr {
	who := ""
	if p.Session.KeyID != "" {
		who = "key " + p.Session.KeyID
	} else if p.Session.Subject != "" {
		who = "person " + p.Session.Subject // never the name, which may be an e-mail address
	}
	return []slog.Attr{
		slog.String("page", p.r.Pattern), slog.Int("status", status), slog.Duration("took", took),
		slog.String("ip", p.console.API.ClientAddress(p.r).String()), slog.String("provider", p.Provider()), slog.String("who", who),
	}
}
