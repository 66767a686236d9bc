package provision

import "slices"

// Scope is one thing that an API key may do. The operations of the API name the scope that they need (openapi.yaml).
type Scope string

// The scopes.
const (
	ScopeOrdersRead    Scope = "orders:read"
	ScopeOrdersWrite   Scope = "orders:write"   // place, check, correct, cancel
	ScopeOrdersOperate Scope = "orders:operate" // retry, fail, swap the account
	ScopeAccountsRead  Scope = "accounts:read"
	ScopeAccountsWrite Scope = "accounts:write" // add, import, edit, delete, invalidate, return, verify
	ScopeStockRead     Scope = "stock:read"
	ScopeStockWrite    Scope = "stock:write" // acknowledge alerts
	ScopePoolsRead     Scope = "pools:read"
	ScopePoolsWrite    Scope = "pools:write" // settings
	ScopeEventsRead    Scope = "events:read" // without stock:read only those of orders
	ScopeWebhooksRead  Scope = "webhooks:read"
	ScopeWebhooksWrite Scope = "webhooks:write"
	ScopeKeysRead      Scope = "keys:read"
	ScopeKeysWrite     Scope = "keys:write"
)

// Role is what the owner of an API key is to the provider.
type Role string

// The roles.
const (
	RoleMarketplace Role = "marketplace" // sells: places orders and follows them
	RoleViewer      Role = "viewer"      // looks at everything but the keys
	RoleOperator    Role = "operator"    // keeps the stock, mends orders
	RoleAdmin       Role = "admin"       // everything, keys and settings included
)

// Roles lists the roles.
var Roles = []Role{RoleMarketplace, RoleViewer, RoleOperator, RoleAdmin}

var rights = func() map[Role][]Scope {
	viewer := []Scope{ScopeOrdersRead, ScopeAccountsRead, ScopeStockRead, ScopePoolsRead, ScopeEventsRead, ScopeWebhooksRead}
	operator := slices.Concat(viewer, []Scope{ScopeOrdersWrite, ScopeOrdersOperate, ScopeAccountsWrite, ScopeStockWrite})
	return map[Role][]Scope{
		RoleMarketplace: {ScopeOrdersRead, ScopeOrdersWrite, ScopeEventsRead},
		RoleViewer:      viewer,
		RoleOperator:    operator,
		RoleAdmin:       slices.Concat(operator, []Scope{ScopePoolsWrite, ScopeWebhooksWrite, ScopeKeysRead, ScopeKeysWrite}),
	}
}()

// Scopes are what the role may do; none for a role that there is not.
func (r Role) Scopes() []Scope { return slices.Clone(rights[r]) }

// Allows tells whether the role has the scope.
func (r Role) Allows(scope Scope) bool { return slices.Contains(rights[r], scope) }

// Known tells whether there is such a role.
func (r Role) Known() bool { return slices.Contains(Roles, r) }

// Known tells whether there is such a scope: the admin has every one.
func (s Scope) Known() bool { return RoleAdmin.Allows(s) }

// Roles are those that have the scope.
func (s Scope) Roles() []Role {
	return slices.DeleteFunc(slices.Clone(Roles), func(r Role) bool { return !r.Allows(s) })
}
