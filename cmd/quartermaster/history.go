package main

import (
	"cmp"
	"net/http"
	"strings"
	"time"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

type historyCommand struct {
	apiOptions
	outputOptions
	pageOptions
	poolFilter
	CSV     bool                  `name:"csv" help:"Print all entries that match as CSV." xor:"output"`
	Kind    []openapi.HistoryKind `help:"Only entries of this kind: order, account, pool or access. Repeat the option for several." placeholder:"KIND"`
	Actor   string                `help:"Only what this actor did, as entries name it, such as \"key 5f1c90aa0b3e\"." placeholder:"ACTOR"`
	Order   string                `help:"Only entries of this order, and those of the accounts that it held." placeholder:"ID"`
	Account string                `help:"Only entries of this AWS account." placeholder:"ID"`
	Key     string                `help:"Only entries of this API key." placeholder:"ID"`
	Since   time.Time             `help:"Only entries of this time or later: a time, a day, or how long ago, such as 7d." placeholder:"TIME"`
	Until   time.Time             `help:"Only entries before this time." placeholder:"TIME"`
}

// Run prints the history, newest first.
func (c *historyCommand) Run(e *env, api *client.Client) error {
	if c.CSV {
		return c.export(e, api)
	}
	return listing[openapi.HistoryEntry]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListHistory(e.ctx, &openapi.ListHistoryParams{
				Kind:        namedList(c.Kind),
				Actor:       named(c.Actor),
				OrderID:     named(c.Order),
				AccountID:   named(c.Account),
				KeyID:       named(c.Key),
				Marketplace: named(c.Marketplace),
				Environment: named(provision.Environment(c.Environment)),
				Since:       named(c.Since),
				Until:       named(c.Until),
				Limit:       limit,
				Cursor:      cursor,
			})
		},
		headings: []string{"WHEN", "WHO", "KIND", "ABOUT", "WHAT", "FROM", "TO", "WHY"},
		cells: func(h openapi.HistoryEntry) []any {
			return []any{e.when(h.At), h.Actor, h.Kind, about(h), whatHappened(h), jsonOrDash(h.From), jsonOrDash(h.To), orDash(h.Reason)}
		},
		id: about,
	}.write(e, c.outputOptions, c.pageOptions)
}

// export prints the history as CSV.
func (c *historyCommand) export(e *env, api *client.Client) error {
	file, err := client.Body(api.ExportHistory(e.ctx, &openapi.ExportHistoryParams{
		Kind: namedList(c.Kind), Actor: named(c.Actor), OrderID: named(c.Order), AccountID: named(c.Account), KeyID: named(c.Key),
		Marketplace: named(c.Marketplace), Environment: named(provision.Environment(c.Environment)), Since: named(c.Since), Until: named(c.Until),
	}))
	if err != nil {
		return err
	}
	_, err = e.out.Write(file)
	return err
}

// about says which order, account, key, webhook or pool an entry is about.
func about(h openapi.HistoryEntry) string {
	pool := ""
	if h.Marketplace != nil {
		pool = *h.Marketplace
	}
	if h.Environment != nil {
		pool += "/" + string(*h.Environment)
	}
	return cmp.Or(or(h.OrderID, ""), or(h.AccountID, ""), or(h.KeyID, ""), or(h.WebhookID, ""), pool, "-")
}

// whatHappened says what was done, to which fields, and with which code it was refused.
func whatHappened(h openapi.HistoryEntry) string {
	words := []string{or(h.Code, "")}
	if h.Fields != nil {
		words = append(words, strings.Join(*h.Fields, ", "))
	}
	if h.Refused != nil {
		words = append(words, "refused: "+*h.Refused)
	}
	return cmp.Or(strings.TrimSpace(strings.Join(words, " ")), "-")
}
