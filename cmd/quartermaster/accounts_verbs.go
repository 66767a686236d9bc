package main

import (
	"net/http"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// selectedAccounts are accounts that are named by id, or selected by a filter.
type selectedAccounts struct {
	apiOptions
	outputOptions
	yesOptions
	idOptions
	accountFilter
}

// find returns the accounts. Without ids, the filter selects among the accounts with one of the statuses.
func (s selectedAccounts) find(e *env, api *client.Client, statuses ...provision.AccountStatus) ([]target, error) {
	ids, err := s.ids(e)
	switch {
	case err != nil:
		return nil, err
	case s.given() && (len(ids) > 0 || s.File != ""):
		return nil, usage("give account ids or options that select accounts, not both")
	case len(ids) > 0 || s.File != "":
		return targetsOf(ids), nil
	case !s.given():
		return nil, usage("no account is named: give account ids, --file, or options that select accounts, such as --status or --marketplace")
	}
	filter := s.accountFilter
	if len(filter.Status) == 0 {
		filter.Status = statuses
	}
	accounts, err := filter.list(e, api).all()
	targets := make([]target, len(accounts))
	for i, a := range accounts {
		targets[i] = target{a.ID, a.StatusLabel + "  " + whyAccount(a)}
	}
	return targets, err
}

// apply applies the verb to the accounts.
func (s selectedAccounts) apply(e *env, targets []target, b bulk, send func(id string) (*http.Response, error)) error {
	b.noun, b.outputOptions, b.yesOptions, b.targets, b.selected = "account", s.outputOptions, s.yesOptions, targets, s.given()
	b.do = func(id string) ([]byte, string, error) {
		account, raw, err := client.Object[openapi.Account](send(id))
		result := account.StatusLabel
		if account.ReadyWhenVerified {
			result += ", Ready when verified"
		}
		return raw, result, err
	}
	return b.run(e)
}

type verifyAccountsCommand struct{ selectedAccounts }

// Run verifies the accounts.
func (c *verifyAccountsCommand) Run(e *env, api *client.Client) error {
	targets, err := c.find(e, api, provision.AccountReady, provision.AccountInvalid, provision.AccountProvisioningFailed)
	if err != nil {
		return err
	}
	return c.apply(e, targets, bulk{verb: "verify"}, func(id string) (*http.Response, error) {
		return api.VerifyAccount(e.ctx, id, &openapi.VerifyAccountParams{})
	})
}

type invalidateCommand struct {
	selectedAccounts
	reasonOptions
}

// Run makes the accounts Invalid.
func (c *invalidateCommand) Run(e *env, api *client.Client) error {
	targets, err := c.find(e, api, provision.AccountReady, provision.AccountProvisioningFailed)
	if err != nil {
		return err
	}
	return c.apply(e, targets, bulk{verb: "invalidate"}, func(id string) (*http.Response, error) {
		return api.InvalidateAccount(e.ctx, id, &openapi.InvalidateAccountParams{}, openapi.Reason{Reason: c.Reason})
	})
}

type returnAccountsCommand struct {
	selectedAccounts
	reasonOptions
}

// Run returns the accounts.
func (c *returnAccountsCommand) Run(e *env, api *client.Client) error {
	targets, err := c.find(e, api, provision.AccountInvalid, provision.AccountProvisioningFailed)
	if err != nil {
		return err
	}
	return c.apply(e, targets, bulk{verb: "return"}, func(id string) (*http.Response, error) {
		return api.ReturnAccount(e.ctx, id, &openapi.ReturnAccountParams{}, openapi.Reason{Reason: c.Reason})
	})
}

type cleanAccountsCommand struct {
	selectedAccounts
	reasonOptions
}

// Run removes the leftovers of the accounts.
func (c *cleanAccountsCommand) Run(e *env, api *client.Client) error {
	targets, err := c.find(e, api, provision.AccountProvisioningFailed)
	if err != nil {
		return err
	}
	return c.apply(e, targets, bulk{verb: "clean"}, func(id string) (*http.Response, error) {
		return api.RemoveLeftovers(e.ctx, id, openapi.Reason{Reason: c.Reason})
	})
}

type deleteAccountsCommand struct {
	selectedAccounts
	whyOptions
}

// Run deletes the accounts.
func (c *deleteAccountsCommand) Run(e *env, api *client.Client) error {
	targets, err := c.find(e, api, provision.AccountReady, provision.AccountInvalid)
	if err != nil {
		return err
	}
	b := bulk{
		outputOptions: c.outputOptions, yesOptions: c.yesOptions, verb: "delete", noun: "account", targets: targets, destroys: true,
		do: func(id string) ([]byte, string, error) {
			raw, err := client.Body(api.DeleteAccount(e.ctx, id, &openapi.DeleteAccountParams{
				IfMatch: anyVersion, Reason: named(c.Reason),
			}))
			return raw, "deleted", err
		},
	}
	return b.run(e)
}
