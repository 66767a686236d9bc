package console

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"quartermaster/internal/provision"
)

// GroupGrant gives the members of a group of the issuer a role at a provider.
type GroupGrant struct {
	Group string
	Grant provision.Grant
}

// ParseGroupGrants reads the grants of groups: group=provider:role, with commas or line breaks between them. The role marketplace
// names its marketplaces, as marketplace(nordic+baltic). A comma in the name of a group is written as \, and a line that begins with #
// is a comment.
func ParseGroupGrants(text string) (grants []GroupGrant, err error) {
	for _, entry := range splitGrants(text) {
		parsed, err := parseGroupGrant(entry)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", entry, err)
		}
		for _, earlier := range grants {
			if earlier.Group == parsed.Group && earlier.Grant.Provider == parsed.Grant.Provider {
				return nil, fmt.Errorf("%q: the group already has the role %s at %s: keep one of the two", entry,
					earlier.Grant.Role, earlier.Grant.Provider)
			}
		}
		grants = append(grants, parsed)
	}
	if len(grants) == 0 {
		return nil, errors.New("it grants nothing: write group=provider:role, such as platform-team=acme:operator")
	}
	return grants, nil
}

// splitGrants cuts a text at its line breaks and at the commas that no backslash precedes, and leaves out comments.
func splitGrants(text string) (entries []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); strings.HasPrefix(line, "#") {
			continue
		}
		for entry := range strings.SplitSeq(strings.ReplaceAll(line, `\,`, "\x00"), ",") {
			if entry = strings.TrimSpace(strings.ReplaceAll(entry, "\x00", ",")); entry != "" {
				entries = append(entries, entry)
			}
		}
	}
	return entries
}

// parseGroupGrant reads group=provider:role. The name of a group may contain =, as those of directories do.
func parseGroupGrant(entry string) (GroupGrant, error) {
	const form = "write it as group=provider:role, such as platform-team=acme:operator"
	at := strings.LastIndex(entry, "=")
	if at <= 0 {
		return GroupGrant{}, errors.New("it names no group: " + form)
	}
	provider, role, found := strings.Cut(entry[at+1:], ":")
	if !found {
		return GroupGrant{}, errors.New("it names no role: " + form)
	}
	role, list, limited := strings.Cut(role, "(")
	parsed := GroupGrant{strings.TrimSpace(entry[:at]), provision.Grant{
		Provider: strings.TrimSpace(provider), Role: provision.Role(strings.TrimSpace(role)),
	}}
	switch {
	case !provision.ValidID(parsed.Grant.Provider):
		return parsed, fmt.Errorf("%q is not the id of a provider: use lower-case letters, digits and single hyphens, at most 40",
			parsed.Grant.Provider)
	case !parsed.Grant.Role.Known():
		return parsed, fmt.Errorf("%q is not a role: use %s", parsed.Grant.Role, provision.JoinWords(provision.Roles, "or"))
	case limited != (parsed.Grant.Role == provision.RoleMarketplace):
		if limited {
			return parsed, fmt.Errorf("the role %s sees all marketplaces: leave (%s out", parsed.Grant.Role, list)
		}
		return parsed, errors.New("the role marketplace needs its marketplaces: write marketplace(nordic), or marketplace(nordic+baltic)")
	case !limited:
		return parsed, nil
	}
	list, closed := strings.CutSuffix(strings.TrimSpace(list), ")")
	if !closed {
		return parsed, errors.New("a ) is missing after the marketplaces")
	}
	for marketplace := range strings.SplitSeq(list, "+") {
		marketplace = strings.TrimSpace(marketplace)
		if !provision.ValidID(marketplace) {
			return parsed, fmt.Errorf("%q is not the id of a marketplace: write marketplace(nordic), or marketplace(nordic+baltic)", marketplace)
		}
		parsed.Grant.Marketplaces = append(parsed.Grant.Marketplaces, marketplace)
	}
	return parsed, nil
}

// grantsOf returns what the groups of a person give, in the order of the map. Of several roles at a provider, the one with the most
// rights counts; several grants of the role marketplace add up.
func grantsOf(groupMap []GroupGrant, groups []string) (grants []provision.Grant) {
	for _, entry := range groupMap {
		if !slices.Contains(groups, entry.Group) {
			continue
		}
		at := slices.IndexFunc(grants, func(g provision.Grant) bool { return g.Provider == entry.Grant.Provider })
		if at < 0 {
			grants = append(grants, entry.Grant)
			continue
		}
		has := &grants[at]
		switch had, more := slices.Index(provision.Roles, has.Role), slices.Index(provision.Roles, entry.Grant.Role); {
		case more > had:
			*has = entry.Grant
		case more == had && has.Marketplaces != nil:
			both := slices.Sorted(slices.Values(slices.Concat(has.Marketplaces, entry.Grant.Marketplaces)))
			has.Marketplaces = slices.Compact(both)
		}
	}
	return grants
}

// groupMap is how the groups of the issuer become roles at one provider.
type groupMap struct {
	Issuer, URL, Claim string
	Grants             []GroupGrant
}

// GroupMap returns how the groups of the issuer become roles at this provider; nil: people cannot sign in.
func (p *page) GroupMap() *groupMap {
	i := p.console.issuer
	if i == nil {
		return nil
	}
	shown := &groupMap{Issuer: i.Name, URL: i.Issuer, Claim: i.GroupsClaim}
	for _, entry := range i.Grants {
		if entry.Grant.Provider == p.Provider() {
			shown.Grants = append(shown.Grants, entry)
		}
	}
	return shown
}
