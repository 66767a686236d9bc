package main

import (
	"net/http"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
)

type filtersCommand struct {
	List   listFiltersCommand  `cmd:"" help:"List the filters that this key has saved."`
	Save   saveFilterCommand   `cmd:"" help:"Save a filter, in place of one of that name. A key may have 50."`
	Delete deleteFilterCommand `cmd:"" help:"Delete saved filters."`
}

type listFiltersCommand struct {
	apiOptions
	outputOptions
	pageOptions
}

// Run prints the filters.
func (c *listFiltersCommand) Run(e *env, api *client.Client) error {
	return listing[openapi.SavedFilter]{
		get:      func(*int, *string) (*http.Response, error) { return api.ListSavedFilters(e.ctx) },
		headings: []string{"FILTER", "LIST", "QUERY", "SAVED"},
		cells: func(f openapi.SavedFilter) []any {
			return []any{f.Name, f.Page, f.Query, e.when(f.SavedAt)}
		},
		id: func(f openapi.SavedFilter) string { return f.Name },
	}.write(e, c.outputOptions, c.pageOptions)
}

type saveFilterCommand struct {
	apiOptions
	outputOptions
	Name  string `arg:"" help:"Name of the filter."`
	Page  string `name:"list" help:"List that the filter is for: orders, accounts or history." enum:"orders,accounts,history" required:""`
	Query string `help:"Filter as in the URL of the list, such as state=action_required." required:"" placeholder:"QUERY"`
}

// Run saves the filter and prints it.
func (c *saveFilterCommand) Run(e *env, api *client.Client) error {
	saved, raw, err := client.Object[openapi.SavedFilter](api.SaveFilter(e.ctx, c.Name, openapi.NewSavedFilter{Page: c.Page, Query: c.Query}))
	if err != nil {
		return err
	}
	return writeObject(e, c.outputOptions, saved, raw, saved.Name, func(e *env, s openapi.SavedFilter) error {
		f := newFacts(e.out)
		f.add("filter", s.Name)
		f.add("list", s.Page)
		f.add("query", s.Query)
		return f.out.Flush()
	})
}

type deleteFilterCommand struct {
	apiOptions
	outputOptions
	yesOptions
	Names []string `arg:"" name:"name" help:"Names of filters."`
}

// Run deletes the filters.
func (c *deleteFilterCommand) Run(e *env, api *client.Client) error {
	return bulk{
		outputOptions: c.outputOptions, yesOptions: c.yesOptions, verb: "delete", noun: "filter", targets: targetsOf(c.Names),
		do: func(name string) ([]byte, string, error) {
			raw, err := client.Body(api.DeleteSavedFilter(e.ctx, name))
			return raw, "deleted", err
		},
	}.run(e)
}
