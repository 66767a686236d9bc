package main

import (
	"net/http"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

type countAccountsCommand struct {
	apiOptions
	poolFilter
	Model string `help:"Only accounts of this model." placeholder:"MODEL"`
	JSON  bool   `help:"Print the JSON of the API, unchanged."`
}

// Run prints the counts, one a line.
func (c *countAccountsCommand) Run(e *env, api *client.Client) error {
	counts, raw, err := client.Object[openapi.AccountCounts](api.CountAccounts(e.ctx, &openapi.CountAccountsParams{
		Marketplace: named(c.Marketplace), Environment: named(provision.Environment(c.Environment)), Model: named(provision.Model(c.Model)),
	}))
	switch {
	case err != nil:
		return err
	case c.JSON:
		return writeRaw(e, raw)
	}
	f := newFacts(e.out)
	f.add("all", counts.All)
	for _, of := range []struct {
		status provision.AccountStatus
		count  int
	}{
		{provision.AccountReady, counts.Ready}, {provision.AccountProvisioning, counts.Provisioning},
		{provision.AccountAllocated, counts.Allocated}, {provision.AccountProvisioningFailed, counts.ProvisioningFailed},
		{provision.AccountInvalid, counts.Invalid},
	} {
		f.add(of.status.Label(), of.count)
	}
	f.add("Invalid, to verify", counts.WaitingForVerification)
	f.add("with a finding", counts.HasFinding)
	return f.out.Flush()
}

type accountChecksCommand struct {
	apiOptions
	ID   string `arg:"" help:"AWS account id, 12 digits."`
	JSON bool   `help:"Print the JSON of the API, unchanged."`
}

// Run prints the checks in the order in which they ran.
func (c *accountChecksCommand) Run(e *env, api *client.Client) error {
	found, raw, err := client.Object[openapi.AccountChecks](api.ListAccountChecks(e.ctx, c.ID))
	switch {
	case err != nil:
		return err
	case c.JSON:
		return writeRaw(e, raw)
	}
	rows := newTable(e.out, "CHECK", "OUTCOME", "WHEN", "FOUND")
	for _, check := range found.Items {
		rows.row(check.Name, check.Outcome, e.whenOr(check.At, "-"), orDash(check.Found))
	}
	return rows.flush()
}

type accountChangesCommand struct {
	apiOptions
	outputOptions
	pageOptions
	ID string `arg:"" help:"AWS account id, 12 digits."`
}

// Run prints the changes, newest first.
func (c *accountChangesCommand) Run(e *env, api *client.Client) error {
	return listing[openapi.AccountChange]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListAccountChanges(e.ctx, c.ID, &openapi.ListAccountChangesParams{Limit: limit, Cursor: cursor})
		},
		headings: []string{"CHANGED", "ORDER", "WHAT", "STATE", "BEFORE", "AFTER", "PUT BACK"},
		cells: func(h openapi.AccountChange) []any {
			return []any{e.when(h.ChangedAt), h.OrderID, h.Resource, h.State, orDash(h.Before), orDash(h.After), e.whenOr(h.PutBackAt, "-")}
		},
		id: func(h openapi.AccountChange) string { return h.Resource },
	}.write(e, c.outputOptions, c.pageOptions)
}
