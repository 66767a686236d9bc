package console

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"quartermaster/api/openapi"
	"quartermaster/internal/provision"
)

// connectionReview is the page before something is done to a webhook or a key: what it is, what will happen, and what the API must
// know to do it.
type connectionReview struct {
	Heading  string // what will be done
	Name     string // of the webhook or the key
	Back     string // its address
	Status   status
	Facts    []fact
	Does     []string // what will happen
	Form     *form
	Button   string
	Danger   bool
	Reason   bool     // the API keeps a reason
	Overlaps []option // how long an old secret may work as well; nil: there is none
	Since    bool     // the form asks for a point in time
}

// fact is something that is known about a thing: a text, or a time as HTML.
type fact struct {
	Name  string
	Value any
}

// Hidden are the hidden fields that the form has.
func (connectionReview) Hidden() []string { return []string{onceField, "version"} }

// marketplaces lists the marketplaces that have a pool, and those that are chosen; nil if the session may not read them.
func (p *page) marketplaces(chosen []string) []option {
	if !p.May(provision.ScopeStockRead) {
		return nil
	}
	stock, err := read[openapi.Stock](p.API.GetStock(p.ctx(), &openapi.GetStockParams{}))
	if err != nil {
		return nil // they can be typed
	}
	names := slices.Clone(chosen)
	for _, pool := range stock.Items {
		names = append(names, pool.Marketplace)
	}
	slices.Sort(names)
	var options []option
	for _, name := range slices.Compact(names) {
		options = append(options, option{name, name})
	}
	return options
}

// lastAnswer returns what came of an attempt to send a message: the receiver's answer, or why there was none.
func lastAnswer(statusCode *int, problem *string) string {
	switch {
	case statusCode != nil:
		return strings.TrimSpace(strconv.Itoa(*statusCode) + " " + http.StatusText(*statusCode))
	case problem != nil:
		return sentence(*problem)
	}
	return ""
}
