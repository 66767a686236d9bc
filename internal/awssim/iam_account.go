package awssim

import (
	"net/http"
)

var iamAccountOperations = []operation{
	{service: "iam", name: "CreateAccountAlias", mutates: true, needs: on(anyResource), do: createAccountAlias},
	{service: "iam", name: "DeleteAccountAlias", mutates: true, needs: on(anyResource), do: deleteAccountAlias},
	{service: "iam", name: "ListAccountAliases", needs: on(anyResource), do: listAccountAliases},
	{service: "iam", name: "GetAccountPasswordPolicy", needs: on(anyResource), do: getAccountPasswordPolicy},
}

// createAccountAlias silently replaces the account's alias if it has one. The name is taken when any account has it, even this one.
func createAccountAlias(c *call) (any, *apiError) {
	alias := c.text("AccountAlias")
	if accountIDPattern.MatchString(alias) {
		return nil, refuse(http.StatusBadRequest, "ValidationError", "The account alias must not be a 12-digit number.")
	}
	if c.sim.aliases[alias] != "" {
		return nil, alreadyExists("The account alias " + alias + " already exists.")
	}
	draft := c.draft(c.accountID)
	what := "created"
	if draft.Alias != "" {
		what = "created in place of " + draft.Alias
	}
	draft.Alias = alias
	c.effect("alias/"+alias, what)
	return nil, nil
}

func deleteAccountAlias(c *call) (any, *apiError) {
	alias, draft := c.text("AccountAlias"), c.draft(c.accountID)
	if draft.Alias != alias {
		return nil, noSuchEntity("The Account Alias " + alias + " cannot be found.")
	}
	draft.Alias = ""
	c.effect("alias/"+alias, "deleted")
	return nil, nil
}

func listAccountAliases(c *call) (any, *apiError) {
	var all []any
	if alias := c.view().Alias; alias != "" {
		all = append(all, alias)
	}
	return page(c, "AccountAliases", all), nil
}

func getAccountPasswordPolicy(c *call) (any, *apiError) {
	policy := c.view().PasswordPolicy
	if policy == nil {
		return nil, noSuchEntity("The Password Policy with domain name " + c.accountID + " cannot be found.")
	}
	type passwordPolicy struct {
		MinimumPasswordLength                                                               int
		RequireSymbols, RequireNumbers, RequireUppercaseCharacters                          bool
		RequireLowercaseCharacters, AllowUsersToChangePassword, ExpirePasswords, HardExpiry bool
		MaxPasswordAge, PasswordReusePrevention                                             int `xml:",omitempty"`
	}
	return struct{ PasswordPolicy passwordPolicy }{passwordPolicy{
		MinimumPasswordLength: policy.MinimumPasswordLength, RequireSymbols: policy.RequireSymbols, RequireNumbers: policy.RequireNumbers,
		RequireUppercaseCharacters: policy.RequireUppercaseCharacters, RequireLowercaseCharacters: policy.RequireLowercaseCharacters,
		AllowUsersToChangePassword: policy.AllowUsersToChangePassword, ExpirePasswords: policy.MaxPasswordAge > 0,
		HardExpiry: policy.HardExpiry, MaxPasswordAge: policy.MaxPasswordAge, PasswordReusePrevention: policy.PasswordReusePrevention,
	}}, nil
}
