package awssim

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

var accountOperations = []operation{
	{service: "account", name: "GetContactInformation", needs: on(onAccount), do: ownAccount(getContactInformation)},
	{service: "account", name: "PutContactInformation", mutates: true, needs: on(onAccount), do: ownAccount(putContactInformation)},
	{service: "account", name: "GetAlternateContact", needs: needsAlternateContact, do: ownAccount(getAlternateContact)},
	{service: "account", name: "PutAlternateContact", mutates: true, needs: needsAlternateContact, do: ownAccount(putAlternateContact)},
	{
		service: "account", name: "DeleteAlternateContact", mutates: true,
		needs: needsAlternateContact, do: ownAccount(deleteAlternateContact),
	},
	{service: "account", name: "GetAccountInformation", needs: on(onAccount), do: ownAccount(getAccountInformation)},
}

// countriesWithState are the countries for which the primary contact requires a state or region.
var countriesWithState = []string{"US", "CA", "GB", "DE", "JP", "IN", "BR"}

func onAccount(c *call) string { return "arn:aws:account::" + c.accountID + ":account" }

func needsAlternateContact(c *call) []question {
	return []question{{
		action: "account:" + c.name, resource: onAccount(c),
		context: map[string][]string{"account:alternatecontacttypes": {c.text("AlternateContactType")}},
	}}
}

// ownAccount refuses AccountId: only the management account of an organization may send it, and only for another account.
func ownAccount(do func(*call) (any, *apiError)) func(*call) (any, *apiError) {
	return func(c *call) (any, *apiError) {
		if c.has("AccountId") {
			return nil, refuse(http.StatusForbidden, "AccessDeniedException",
				"The caller is not in an organization: it must not specify an account id.")
		}
		return do(c)
	}
}

func contactNotFound(what string) *apiError {
	return refuse(http.StatusNotFound, "ResourceNotFoundException", "No "+what+" found for the account.")
}

func getContactInformation(c *call) (any, *apiError) {
	contact := c.view().Contact
	if contact == nil {
		return nil, contactNotFound("contact information")
	}
	return map[string]any{"ContactInformation": contact}, nil
}

// putContactInformation replaces the whole contact: an absent member is lost.
func putContactInformation(c *call) (any, *apiError) {
	var input struct{ ContactInformation Contact }
	if err := json.Unmarshal(c.body, &input); err != nil {
		return nil, refuse(http.StatusBadRequest, "SerializationException", err.Error())
	}
	contact := input.ContactInformation
	if slices.Contains(countriesWithState, strings.ToUpper(contact.CountryCode)) && contact.StateOrRegion == "" {
		return nil, c.wire.invalid(c, []violation{{
			"contactInformation.stateOrRegion", "StateOrRegion is required for the country " + contact.CountryCode,
		}})
	}
	draft := c.draft(c.accountID)
	if draft.Quirks.NormalizeContacts {
		contact = contact.normalized()
	}
	if draft.Contact == nil || *draft.Contact != contact {
		draft.Contact = &contact
		c.effect("contact/primary", "replaced")
	}
	return nil, nil
}

func getAlternateContact(c *call) (any, *apiError) {
	kind := c.text("AlternateContactType")
	contact, ok := c.view().AlternateContacts[kind]
	if !ok {
		return nil, contactNotFound("contact of the inputted alternate contact type")
	}
	return map[string]any{"AlternateContact": struct {
		AlternateContact
		AlternateContactType string
	}{contact, kind}}, nil
}

func putAlternateContact(c *call) (any, *apiError) {
	kind := c.text("AlternateContactType")
	contact := AlternateContact{
		Name: c.text("Name"), Title: c.text("Title"), EmailAddress: c.text("EmailAddress"), PhoneNumber: c.text("PhoneNumber"),
	}
	draft := c.draft(c.accountID)
	if draft.Quirks.NormalizeContacts {
		contact = contact.normalized()
	}
	if old, ok := draft.AlternateContacts[kind]; !ok || old != contact {
		put(&draft.AlternateContacts, kind, contact)
		c.effect("contact/"+kind, "replaced")
	}
	return nil, nil
}

func deleteAlternateContact(c *call) (any, *apiError) {
	kind, draft := c.text("AlternateContactType"), c.draft(c.accountID)
	if _, ok := draft.AlternateContacts[kind]; !ok {
		return nil, contactNotFound("contact of the inputted alternate contact type")
	}
	delete(draft.AlternateContacts, kind)
	c.effect("contact/"+kind, "deleted")
	return nil, nil
}

func getAccountInformation(c *call) (any, *apiError) {
	account := c.view()
	out := map[string]any{"AccountId": account.ID, "AccountName": account.Name, "AccountState": account.State}
	if !account.Created.IsZero() {
		out["AccountCreatedDate"] = account.Created.UTC().Format(time.RFC3339)
	}
	return out, nil
}
