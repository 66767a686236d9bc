package provision

import "slices"

// Scope is a permission of an API key. Each operation of the API names the scope that it needs (openapi.yaml).
type Scope string

// The scopes.
const (
	ScopeOrdersRead    Scope = "orders:read"
	ScopeOrdersWrite   Scope = "orders:write"   // place, check, correct and cancel
	ScopeOrdersOperate Scope = "orders:operate" // retry, fail and swap the account
	// ScopeOrdersPassword permits to see the link to the password of one order, and to set a new password.
	ScopeOrdersPassword Scope = "orders:password"
	ScopeAccountsRead   Scope = "accounts:read"
	ScopeAccountsWrite  Scope = "accounts:write" // create, import, update, delete, invalidate, return and verify
	ScopeStockRead      Scope = "stock:read"
	ScopeStockWrite     Scope = "stock:write" // acknowledge alerts
	ScopePoolsRead      Scope = "pools:read"
	ScopePoolsWrite     Scope = "pools:write" // settings
	ScopeEventsRead     Scope = "events:read" // without stock:read only events about orders
	ScopeWebhooksRead   Scope = "webhooks:read"
	ScopeWebhooksWrite  Scope = "webhooks:write"
	ScopeKeysRead       Scope = "keys:read"
	ScopeKeysWrite      Scope = "keys:write"
	ScopeHealthRead     Scope = "health:read" // whether the service works, and what of the provider's needs someone
)

// Role is the role that an API key gives its owner.
type Role string

// The roles.
const (
	RoleMarketplace Role = "marketplace" // places orders and follows them
	RoleViewer      Role = "viewer"      // reads everything except API keys
	RoleOperator    Role = "operator"    // manages the stock and resolves problems of orders
	RoleAdmin       Role = "admin"       // everything, including API keys and settings
)

// Roles lists the roles.
var Roles = []Role{RoleMarketplace, RoleViewer, RoleOperator, RoleAdmin}

var rights = func() map[Role][]Scope {
	viewer := []Scope{ScopeOrdersRead, ScopeAccountsRead, ScopeStockRead, ScopePoolsRead, ScopeEventsRead, ScopeWebhooksRead,
		ScopeHealthRead}
	operator := slices.Concat(viewer, []Scope{ScopeOrdersWrite, ScopeOrdersOperate, ScopeOrdersPassword, ScopeAccountsWrite, ScopeStockWrite})
	return map[Role][]Scope{
		RoleMarketplace: {ScopeOrdersRead, ScopeOrdersWrite, ScopeOrdersPassword, ScopeEventsRead},
		RoleViewer:      viewer,
		RoleOperator:    operator,
		RoleAdmin:       slices.Concat(operator, []Scope{ScopePoolsWrite, ScopeWebhooksWrite, ScopeKeysRead, ScopeKeysWrite}),
	}
}()

// Description says in one sentence what the role may do.
func (r Role) Description() string {
	switch r {
	case RoleMarketplace:
		return "Places orders of its marketplaces and follows them."
	case RoleViewer:
		return "Reads everything except API keys."
	case RoleOperator:
		return "Manages the stock and resolves problems of orders."
	case RoleAdmin:
		return "May do everything, including API keys, webhooks and settings."
	}
	return ""
}

// Scopes returns the scopes of the role; none for an unknown role.
func (r Role) Scopes() []Scope { return slices.Clone(rights[r]) }

// Allows reports whether the role has the scope.
func (r Role) Allows(scope Scope) bool { return slices.Contains(rights[r], scope) }

// Known reports whether the role exists.
func (r Role) Known() bool { return slices.Contains(Roles, r) }

// Known reports whether the scope exists. The admin has every scope.
func (s Scope) Known() bool { return RoleAdmin.Allows(s) }

// Roles returns the roles that have the scope.
func (s Scope) Roles() []Role {
	return slices.DeleteFunc(slices.Clone(Roles), func(r Role) bool { return !r.Allows(s) })
}
