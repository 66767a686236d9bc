package provision

import "slices"

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
