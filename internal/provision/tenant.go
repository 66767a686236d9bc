package provision

import (
	"fmt"
	"slices"
)

// Tenant is what a caller may see: the orders of a provider, of all its marketplaces or of some of them. Every query for orders
// and events of a caller takes a Tenant, so that none can forget to ask for the marketplaces.
type Tenant struct {
	Provider     string
	Marketplaces []string // nil: all marketplaces of the provider
}

// Includes reports whether the tenant has the marketplace of its provider.
func (t Tenant) Includes(marketplace string) bool {
	return t.Marketplaces == nil || slices.Contains(t.Marketplaces, marketplace)
}

// ValidateMarketplaces checks the marketplaces that something is limited to. Each must have a pool.
func ValidateMarketplaces(marketplaces, withPool []string) []FieldError {
	var v fieldErrors
	for i, marketplace := range marketplaces {
		field := fmt.Sprintf("marketplaces.%d", i)
		v.check(field, slices.Contains(withPool, marketplace), "the provider has no pool for %q: %s", marketplace, haveAPool(withPool))
		v.check(field, !slices.Contains(marketplaces[:i], marketplace), "%s is named twice: name it once", marketplace)
	}
	return v
}

// haveAPool says which marketplaces may be named.
func haveAPool(marketplaces []string) string {
	if len(marketplaces) == 0 {
		return "there is none yet, so create the pool of the marketplace first"
	}
	return "name one that has a pool, out of " + JoinWords(marketplaces, "and")
}
