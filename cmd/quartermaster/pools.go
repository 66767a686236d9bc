package main

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

type poolsCommand struct {
	List      listPoolsCommand     `cmd:"" help:"List the pools."`
	Show      showPoolCommand      `cmd:"" help:"Show the settings of a pool."`
	Create    createPoolCommand    `cmd:"" help:"Create a pool. A pool that exists is left as it is."`
	Update    updatePoolCommand    `cmd:"" help:"Change settings of a pool, for orders placed from then on. Settings not named stay."`
	History   poolHistoryCommand   `cmd:"" help:"Show who changed which setting from what to what, and when."`
	Protect   protectCommand       `cmd:"" help:"Protect AWS accounts, such as a payer, from being added, verified or modified."`
	Unprotect unprotectCommand     `cmd:"" help:"Remove the protection of AWS accounts."`
	Protected listProtectedCommand `cmd:"" help:"List the protected accounts."`
}

type listPoolsCommand struct {
	apiOptions
	outputOptions
	pageOptions
}

// Run prints the pools.
func (c *listPoolsCommand) Run(e *env, api *client.Client) error {
	return listing[openapi.Pool]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListPools(e.ctx, &openapi.ListPoolsParams{Limit: limit, Cursor: cursor})
		},
		headings: []string{"MARKETPLACE", "ENVIRONMENT", "REPORT", "REGION", "ON FAILURE", "THRESHOLD", "CLAIMS"},
		cells: func(p openapi.Pool) []any {
			return []any{p.Marketplace, p.Environment, p.ReportKind, p.ReportRegion, p.OnFailure, numberOrDash(p.StockThreshold),
				claims(e, p.ClaimsSuspendedAt, p.ClaimsSuspendedBecause)}
		},
		id: func(p openapi.Pool) string { return p.Marketplace + "/" + string(p.Environment) },
	}.write(e, c.outputOptions, c.pageOptions)
}

// claims says whether orders get accounts of a pool.
func claims(e *env, suspendedAt *time.Time, because *string) string {
	if suspendedAt == nil {
		return "-"
	}
	return fmt.Sprintf("suspended since %s: %s", e.when(*suspendedAt), or(because, "the reason is unknown"))
}

type showPoolCommand struct {
	apiOptions
	outputOptions
	poolOptions
}

// Run prints the pool.
func (c *showPoolCommand) Run(e *env, api *client.Client) error {
	pool, raw, err := client.Object[openapi.Pool](api.GetPool(e.ctx, c.Marketplace, provision.Environment(c.Environment)))
	if err != nil {
		return err
	}
	return writePool(e, c.outputOptions, pool, raw)
}

// writePool prints a pool and the warnings about its settings. They go to the log's output, so that the pool itself stays
// readable for programs.
func writePool(e *env, output outputOptions, pool openapi.Pool, raw []byte) error {
	if pool.Warnings != nil {
		for _, warning := range *pool.Warnings {
			fmt.Fprintln(e.logs, "warning:", warning)
		}
	}
	return writeObject(e, output, pool, raw, pool.Marketplace+"/"+string(pool.Environment), showPool)
}

func showPool(e *env, p openapi.Pool) error {
	f := newFacts(e.out)
	f.add("pool", p.Marketplace+"/"+string(p.Environment))
	f.add("claims", claims(e, p.ClaimsSuspendedAt, p.ClaimsSuspendedBecause))
	f.add("verification", suspended(e, p.VerificationSuspendedAt))
	f.add("report", fmt.Sprintf("%s in %s, prefix %s", p.ReportKind, p.ReportRegion, p.ReportPrefix))
	f.add("contact types", strings.Join(p.AlternateContactTypes, ", "))
	f.add("policies", strings.Join(p.UserPolicyArns, ", "))
	f.add("boundary", or(p.PermissionsBoundaryARN, ""))
	f.add("on failure", p.OnFailure)
	f.add("wait deadline", deadline(p.WaitDeadlineSeconds))
	f.add("action deadline", deadline(&p.ActionDeadlineSeconds))
	f.add("root instructions", p.ProvideRootUser)
	f.add("threshold", numberOrDash(p.StockThreshold))
	for _, t := range p.ModelThresholds {
		f.add("threshold "+string(t.Model), t.Threshold)
	}
	f.add("reminder every", deadline(&p.RenotifySeconds))
	for _, i := range p.Instructions {
		f.add("text "+string(i.Model), i.Text)
	}
	f.add("created", e.when(p.CreatedAt))
	return f.out.Flush()
}

func suspended(e *env, since *time.Time) string {
	if since == nil {
		return ""
	}
	return "suspended since " + e.when(*since)
}

func deadline(seconds *int) string {
	if seconds == nil {
		return "none"
	}
	return (time.Duration(*seconds) * time.Second).String()
}

type createPoolCommand struct {
	apiOptions
	outputOptions
	poolOptions
	poolSettingOptions
}

// Run creates the pool. A repeat, which finds the pool, changes nothing.
func (c *createPoolCommand) Run(e *env, api *client.Client) error {
	pool, raw, err := client.Object[openapi.Pool](api.CreatePool(e.ctx, c.newPool(c.poolOptions)))
	if refused, ok := errors.AsType[*openapi.Problem](err); ok && refused.Status == http.StatusConflict {
		fmt.Fprintf(e.logs, "pool %s/%s exists and stays as it is: change it with quartermaster pools update\n", c.Marketplace, c.Environment)
		pool, raw, err = client.Object[openapi.Pool](api.GetPool(e.ctx, c.Marketplace, provision.Environment(c.Environment)))
	}
	if err != nil {
		return err
	}
	return writePool(e, c.outputOptions, pool, raw)
}

type updatePoolCommand struct {
	apiOptions
	outputOptions
	poolOptions
	poolSettingOptions
}

// Run changes the settings and prints the pool. Thresholds and texts of single models are merged with those that the pool has, so the
// request names the version that was read; when someone else was faster, everything is read again.
func (c *updatePoolCommand) Run(e *env, api *client.Client) error {
	for {
		answer, err := api.GetPool(e.ctx, c.Marketplace, provision.Environment(c.Environment))
		old, _, err := client.Object[openapi.Pool](answer, err)
		if err != nil {
			return err
		}
		version := answer.Header.Get("ETag")
		pool, raw, err := client.Object[openapi.Pool](api.UpdatePool(e.ctx, c.Marketplace, provision.Environment(c.Environment),
			&openapi.UpdatePoolParams{IfMatch: &version}, c.update(old)))
		if refused, ok := errors.AsType[*openapi.Problem](err); ok && refused.Status == http.StatusPreconditionFailed {
			continue
		}
		if err != nil {
			return err
		}
		return writePool(e, c.outputOptions, pool, raw)
	}
}

type poolHistoryCommand struct {
	apiOptions
	outputOptions
	pageOptions
	poolOptions
}

// Run prints the history, oldest first.
func (c *poolHistoryCommand) Run(e *env, api *client.Client) error {
	return listing[openapi.PoolHistoryEntry]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListPoolHistory(e.ctx, c.Marketplace, provision.Environment(c.Environment),
				&openapi.ListPoolHistoryParams{Limit: limit, Cursor: cursor})
		},
		headings: []string{"WHEN", "WHO", "WHAT", "FROM", "TO"},
		cells: func(h openapi.PoolHistoryEntry) []any {
			return []any{e.when(h.At), h.Actor, h.What, jsonOrDash(h.From), jsonOrDash(h.To)}
		},
		id: func(h openapi.PoolHistoryEntry) string { return h.What },
	}.write(e, c.outputOptions, c.pageOptions)
}

func jsonOrDash[T ~[]byte](value *T) string {
	if value == nil {
		return "-"
	}
	return string(*value)
}

type protectCommand struct {
	apiOptions
	outputOptions
	yesOptions
	idOptions
	reasonOptions
}

// Run protects the accounts.
func (c *protectCommand) Run(e *env, api *client.Client) error {
	ids, err := c.ids(e)
	if err != nil {
		return err
	}
	return bulk{
		outputOptions: c.outputOptions, yesOptions: c.yesOptions, verb: "protect", noun: "account", targets: targetsOf(ids),
		do: func(id string) ([]byte, string, error) {
			raw, err := client.Body(api.ProtectAccount(e.ctx, id, openapi.Protection{Note: c.Reason}))
			return raw, "protected", err
		},
	}.run(e)
}

type unprotectCommand struct {
	apiOptions
	outputOptions
	yesOptions
	idOptions
	whyOptions
}

// Run removes the protection.
func (c *unprotectCommand) Run(e *env, api *client.Client) error {
	ids, err := c.ids(e)
	if err != nil {
		return err
	}
	return bulk{
		outputOptions: c.outputOptions, yesOptions: c.yesOptions, verb: "unprotect", noun: "account", targets: targetsOf(ids), destroys: true,
		do: func(id string) ([]byte, string, error) {
			raw, err := client.Body(api.UnprotectAccount(e.ctx, id, &openapi.UnprotectAccountParams{Reason: named(c.Reason)}))
			return raw, "no longer protected", err
		},
	}.run(e)
}

type listProtectedCommand struct {
	apiOptions
	outputOptions
	pageOptions
}

// Run lists the protected accounts.
func (c *listProtectedCommand) Run(e *env, api *client.Client) error {
	return listing[openapi.ProtectedAccount]{
		get: func(limit *int, cursor *string) (*http.Response, error) {
			return api.ListProtectedAccounts(e.ctx, &openapi.ListProtectedAccountsParams{Limit: limit, Cursor: cursor})
		},
		headings: []string{"ACCOUNT", "SINCE", "BY", "WHY"},
		cells: func(a openapi.ProtectedAccount) []any {
			return []any{a.AccountID, e.when(a.CreatedAt), a.CreatedBy, a.Note}
		},
		id: func(a openapi.ProtectedAccount) string { return a.AccountID },
	}.write(e, c.outputOptions, c.pageOptions)
}
