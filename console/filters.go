package console

import (
	"net/http"
	"net/url"
	"strings"

	"quartermaster/api/client"
	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// filterRoutes are the pages of a person's own filters.
func filterRoutes(with func(scope provision.Scope, pattern string, handle handler)) {
	with("", "GET /{provider}/filters/new", newFilter)
	with("", "POST /{provider}/filters/new", saveFilter)
	with("", "GET /{provider}/filters/{name}/delete", filterToDelete)
	with("", "POST /{provider}/filters/{name}/delete", deleteFilter)
}

// savedFilter is a filter of a list that the person has saved.
type savedFilter struct {
	Name, URL string
	Current   bool // it is the one of this page
}

// savedFilters returns the person's own filters of a list, such as orders. They are no reason to show no list, so an error leaves
// them out.
func (p *page) savedFilters(list string) (saved []savedFilter) {
	all, err := read[openapi.SavedFilters](p.API.ListSavedFilters(p.ctx()))
	if err != nil {
		return nil
	}
	here := canonical(p.r.URL.RawQuery)
	for _, f := range all.Items {
		if f.Page == list {
			saved = append(saved, savedFilter{f.Name, p.URL(list) + "?" + f.Query, canonical(f.Query) == here})
		}
	}
	return saved
}

// SaveFilter is the address of the page that saves the filter of this page, a list with that name.
func (p *page) SaveFilter(list string) string {
	return p.URL("filters", "new") + "?" + url.Values{"page": {list}, "query": {canonical(p.r.URL.RawQuery)}}.Encode()
}

// canonical returns the filter in a query string: without empty parameters, the place in the list and the selection, in one order.
func canonical(query string) string {
	values, _ := url.ParseQuery(query) // what cannot be read filters nothing
	for name, of := range values {
		if name == "cursor" || name == "selected" || strings.Join(of, "") == "" {
			delete(values, name)
		}
	}
	return values.Encode()
}

// lists are the lists that filters are saved for, in the operators' words.
var lists = map[string]string{"orders": "orders", "accounts": "accounts", "history": "the history"}

// filterData is what the pages of a filter show.
type filterData struct {
	Form *form
	Name string // of the filter to delete
	List string
	Back string // the list
}

func (p *page) filterData(f *form) (filterData, error) {
	list, known := lists[f.Value("page")]
	if !known {
		return filterData{}, noPage(p)
	}
	return filterData{Form: f, List: list, Back: p.URL(f.Value("page")) + "?" + canonical(f.Value("query"))}, nil
}

// newFilter answers GET /{provider}/filters/new.
func newFilter(p *page) error {
	data, err := p.filterData(p.newForm(url.Values{}))
	if err != nil {
		return err
	}
	return p.show("filter", "Save this filter", data)
}

// saveFilter answers POST /{provider}/filters/new.
func saveFilter(p *page) error {
	f, err := p.sent()
	if err != nil {
		return err
	}
	data, err := p.filterData(f)
	if err != nil {
		return err
	}
	name := strings.TrimSpace(f.Value("name"))
	if name == "" || strings.Contains(name, "/") || strings.HasPrefix(name, ".") { // the API has no address for these
		f.Status, f.Refused = http.StatusUnprocessableEntity, "1 field is invalid"
		f.Listed = []fieldMessage{{"name", "give the filter a name of 1 to 60 characters, without a slash, that does not begin with a dot"}}
		return p.again(f, "filter", "Save this filter", data)
	}
	_, err = read[openapi.SavedFilter](p.API.SaveFilter(p.ctx(), name, openapi.NewSavedFilter{
		Page: f.Value("page"), Query: canonical(f.Value("query")),
	}))
	if err == nil {
		return p.redirect(data.Back, "The filter is saved. Only you see it.")
	}
	if !f.refuse(err, nil) {
		return err
	}
	return p.again(f, "filter", "Save this filter", data)
}

// filterToDelete answers GET /{provider}/filters/{name}/delete.
func filterToDelete(p *page) error {
	return p.show("filter", "Delete a filter", filterData{Name: p.r.PathValue("name"), Back: p.Home()})
}

// deleteFilter answers POST /{provider}/filters/{name}/delete.
func deleteFilter(p *page) error {
	name, list := p.r.PathValue("name"), "orders"
	all, err := read[openapi.SavedFilters](p.API.ListSavedFilters(p.ctx()))
	if err != nil {
		return err
	}
	for _, f := range all.Items {
		if f.Name == name {
			list = f.Page
		}
	}
	if _, err := client.Body(p.API.DeleteSavedFilter(p.ctx(), name)); err != nil {
		return err
	}
	return p.redirect(p.URL(list), "The filter is deleted.")
}
