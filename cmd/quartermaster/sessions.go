package main

import (
	"fmt"
	"net/http"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

type whoamiCommand struct {
	apiOptions
	outputOptions
}

// Run prints whose key it is and what it may do.
func (c *whoamiCommand) Run(e *env, api *client.Client) error {
	me, raw, err := client.Object[openapi.Me](api.GetMe(e.ctx))
	if err != nil {
		return err
	}
	return writeObject(e, c.outputOptions, me, raw, me.Actor, showMe)
}

func showMe(e *env, me openapi.Me) error {
	f := newFacts(e.out)
	f.add("provider", me.Provider)
	f.add("you are", me.Actor)
	f.add("role", me.Role)
	f.add("scopes", provision.JoinWords(me.Scopes, "and"))
	if me.Marketplaces != nil {
		f.add("marketplaces", provision.JoinWords(*me.Marketplaces, "and"))
	}
	f.add("limit", fmt.Sprintf("%g requests per second", me.RequestsPerSecond))
	if key := me.APIKey; key != nil {
		f.add("name", key.Name)
		f.add("expires", e.whenOr(key.ExpiresAt, "never"))
	}
	return f.out.Flush()
}

type sessionsCommand struct {
	List listSessionsCommand `cmd:"" help:"List the browsers that are signed in to the console, the latest sign-in first."`
	End  endSessionsCommand  `cmd:"" help:"Sign everyone of the provider out of the console."`
}

type listSessionsCommand struct {
	apiOptions
	outputOptions
}

// Run prints the sessions.
func (c *listSessionsCommand) Run(e *env, api *client.Client) error {
	return listing[openapi.Session]{
		get:      func(*int, *string) (*http.Response, error) { return api.ListSessions(e.ctx) },
		headings: []string{"WHO", "ROLE", "SIGNED IN", "LAST USED", "ENDS"},
		cells: func(s openapi.Session) []any {
			return []any{s.Actor, s.Role, e.when(s.SignedInAt), e.when(s.SeenAt), e.when(s.EndsAt)}
		},
		id: func(s openapi.Session) string { return s.Actor },
	}.write(e, c.outputOptions, pageOptions{Limit: 1000})
}

type endSessionsCommand struct {
	apiOptions
	outputOptions
	Reason string `help:"Why. It is kept in the history." required:""`
}

// Run ends the sessions.
func (c *endSessionsCommand) Run(e *env, api *client.Client) error {
	ended, raw, err := client.Object[openapi.EndedSessions](api.EndSessions(e.ctx, openapi.Reason{Reason: c.Reason}))
	if err != nil {
		return err
	}
	return writeObject(e, c.outputOptions, ended, raw, fmt.Sprint(ended.Ended), func(e *env, ended openapi.EndedSessions) error {
		_, err := fmt.Fprintf(e.out, "sessions ended: %d; everyone must sign in again\n", ended.Ended)
		return err
	})
}
