package awssim

import (
	"encoding/xml"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Quotas of IAM.
const (
	maxUsers            = 5000
	maxUserTags         = 50
	maxUserPolicies     = 10   // managed policies attached to a user
	maxInlineCharacters = 2048 // non-blank, over all inline policies of a user
	maxAccessKeys       = 2
)

var iamUserOperations = []operation{
	{service: "iam", name: "CreateUser", mutates: true, needs: needsCreateUser, do: createUser},
	{service: "iam", name: "ListUsers", needs: on(anyResource), do: listUsers},
	{service: "iam", name: "GetUser", needs: on(onUser), do: getUser},
	{service: "iam", name: "DeleteUser", mutates: true, needs: on(onUser), do: deleteUser},
	{service: "iam", name: "TagUser", mutates: true, needs: needsTagUser, do: tagUser},
	userList("ListUserTags", "Tags", func(_ string, u User) []any { return anys(tagList(u.Tags)) }),
	{service: "iam", name: "AttachUserPolicy", mutates: true, needs: needsPolicyARN, do: attachUserPolicy},
	{service: "iam", name: "DetachUserPolicy", mutates: true, needs: needsPolicyARN, do: detachUserPolicy},
	{service: "iam", name: "ListAttachedUserPolicies", needs: on(onUser), do: listAttachedUserPolicies},
	{service: "iam", name: "PutUserPolicy", mutates: true, needs: on(onUser), do: putUserPolicy},
	{service: "iam", name: "DeleteUserPolicy", mutates: true, needs: on(onUser), do: deleteUserPolicy},
	userList("ListUserPolicies", "PolicyNames", func(_ string, u User) []any { return anys(keys(u.InlinePolicies)) }),
	{service: "iam", name: "PutUserPermissionsBoundary", mutates: true, needs: needsBoundary, do: putUserPermissionsBoundary},
	{service: "iam", name: "DeleteUserPermissionsBoundary", mutates: true, needs: on(onUser), do: deleteUserPermissionsBoundary},
}

func noSuchEntity(message string) *apiError {
	return refuse(http.StatusNotFound, "NoSuchEntity", message)
}

func alreadyExists(message string) *apiError {
	return refuse(http.StatusConflict, "EntityAlreadyExists", message)
}

func noSuchUser(name string) *apiError {
	return noSuchEntity("The user with name " + name + " cannot be found.")
}

// userIn returns the user that the call names in a state of the account.
func (c *call) userIn(a *Account) (string, User, *apiError) {
	if !c.has("UserName") {
		return "", User{}, refuse(http.StatusBadRequest, "ValidationError", "Must specify userName when calling with non-User credentials")
	}
	name, u, ok := a.user(c.text("UserName"))
	if !ok {
		return "", User{}, noSuchUser(c.text("UserName"))
	}
	return name, u, nil
}

// changeUser applies f to the user that the call names. f returns a description of its change, or "" when it changed nothing.
func changeUser(c *call, f func(name string, u *User) (what string, refused *apiError)) (any, *apiError) {
	draft := c.draft(c.accountID)
	name, u, refused := c.userIn(draft)
	if refused != nil {
		return nil, refused
	}
	what, refused := f(name, &u)
	if refused != nil {
		return nil, refused
	}
	if what != "" {
		draft.Users[name] = u
		c.effect("user/"+name, what)
	}
	return nil, nil
}

// userXML is a user in IAM's XML form.
type userXML struct {
	Path                string
	UserName            string
	UserID              string `xml:"UserId"`
	Arn                 string
	CreateDate          string
	PasswordLastUsed    string       `xml:",omitempty"`
	PermissionsBoundary *boundaryXML `xml:",omitempty"`
	Tags                *tagsXML     `xml:",omitempty"`
}

type boundaryXML struct {
	PermissionsBoundaryType string
	PermissionsBoundaryArn  string
}

type tagsXML struct {
	Members []tag `xml:"member"`
}

func (c *call) userXML(name string, u User) userXML {
	out := userXML{Path: u.Path, UserName: name, UserID: u.ID, Arn: userARN(c.accountID, u.Path, name), CreateDate: timestamp(u.Created)}
	if !u.PasswordLastUsed.IsZero() {
		out.PasswordLastUsed = timestamp(u.PasswordLastUsed)
	}
	if u.PermissionsBoundary != "" {
		out.PermissionsBoundary = &boundaryXML{"Policy", u.PermissionsBoundary}
	}
	if len(u.Tags) > 0 {
		out.Tags = &tagsXML{tagList(u.Tags)}
	}
	return out
}

// listUsers lists the users under a path, without their tags and boundaries.
func listUsers(c *call) (any, *apiError) {
	view := c.view()
	var all []any
	for _, name := range keys(view.Users) {
		if u := view.Users[name]; strings.HasPrefix(u.Path, c.text("PathPrefix")) {
			u.Tags, u.PermissionsBoundary = nil, ""
			all = append(all, c.userXML(name, u))
		}
	}
	return page(c, "Users", all), nil
}

func needsCreateUser(c *call) []question {
	path := c.text("Path")
	if path == "" {
		path = "/"
	}
	arn, context := userARN(c.accountID, path, c.text("UserName")), requestTags(c.tags("Tags"))
	if boundary := c.text("PermissionsBoundary"); boundary != "" {
		context["iam:permissionsboundary"] = []string{boundary}
	}
	needs := []question{{action: "iam:CreateUser", resource: arn, context: context}}
	if c.has("Tags") {
		needs = append(needs, question{action: "iam:TagUser", resource: arn, context: context})
	}
	return needs
}

func createUser(c *call) (any, *apiError) {
	draft, name := c.draft(c.accountID), c.text("UserName")
	tags := c.tags("Tags")
	if refused := checkUserTags(tags); refused != nil {
		return nil, refused
	}
	if _, _, taken := draft.userInAnyCase(name); taken {
		return nil, alreadyExists("User with name " + name + " already exists.")
	}
	if len(draft.Users) >= maxUsers {
		return nil, limitExceeded("UsersPerAccount", maxUsers)
	}
	u := User{ID: c.sim.id("AIDA", 17), Path: "/", Created: c.sim.now().Truncate(time.Second)}
	if path := c.text("Path"); path != "" {
		u.Path = path
	}
	if boundary := c.text("PermissionsBoundary"); boundary != "" {
		if refused := c.attachable(draft, boundary); refused != nil {
			return nil, refused
		}
		u.PermissionsBoundary = boundary
	}
	for _, t := range tags {
		put(&u.Tags, t.Key, t.Value)
	}
	put(&draft.Users, name, u)
	c.effect("user/"+name, "created")
	return struct{ User userXML }{c.userXML(name, u)}, nil
}

// checkUserTags applies the rules for tags that the API model does not contain.
func checkUserTags(tags []tag) *apiError {
	if duplicateKey(tags) != "" {
		return refuse(http.StatusBadRequest, "InvalidInput", "Duplicate tag keys found. Please note that Tag keys are case insensitive.")
	}
	for _, t := range tags {
		if strings.HasPrefix(strings.ToLower(t.Key), "aws:") {
			return refuse(http.StatusBadRequest, "InvalidInput",
				"System tags cannot be added/updated/deleted: tag keys may not begin with aws:")
		}
	}
	return nil
}

func limitExceeded(quota string, n int) *apiError {
	return refuse(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for "+quota+": "+itoa(n))
}

func getUser(c *call) (any, *apiError) {
	name, u, refused := c.userIn(c.view())
	if refused != nil {
		return nil, refused
	}
	return struct{ User userXML }{c.userXML(name, u)}, nil
}

func deleteUser(c *call) (any, *apiError) {
	draft := c.draft(c.accountID)
	name, u, refused := c.userIn(draft)
	if refused != nil {
		return nil, refused
	}
	left := u.LoginProfile != nil || len(u.InlinePolicies) > 0
	for _, list := range [][]string{
		u.AttachedPolicies, u.AccessKeys, u.Groups, u.MFADevices, u.SigningCertificates, u.SSHPublicKeys, u.ServiceCredentials,
	} {
		left = left || len(list) > 0
	}
	if left {
		return nil, refuse(http.StatusConflict, "DeleteConflict", "Cannot delete entity, must remove referenced objects first.")
	}
	delete(draft.Users, name)
	c.effect("user/"+name, "deleted")
	return nil, nil
}

func needsTagUser(c *call) []question {
	return []question{{action: "iam:TagUser", resource: onUser(c), context: requestTags(c.tags("Tags"))}}
}

func tagUser(c *call) (any, *apiError) {
	return changeUser(c, func(_ string, u *User) (string, *apiError) {
		tags := c.tags("Tags")
		if refused := checkUserTags(tags); refused != nil {
			return "", refused
		}
		what := ""
		for _, t := range tags {
			if old, ok := u.Tags[t.Key]; !ok || old != t.Value {
				put(&u.Tags, t.Key, t.Value)
				what = "tagged"
			}
		}
		if len(u.Tags) > maxUserTags {
			return "", limitExceeded("TagsPerUser", maxUserTags)
		}
		return what, nil
	})
}

func needsPolicyARN(c *call) []question {
	return []question{{
		action: c.service + ":" + c.name, resource: onUser(c), context: map[string][]string{"iam:policyarn": {c.text("PolicyArn")}},
	}}
}

func attachUserPolicy(c *call) (any, *apiError) {
	return changeUser(c, func(_ string, u *User) (string, *apiError) {
		arn := c.text("PolicyArn")
		if refused := c.attachable(c.account(), arn); refused != nil {
			return "", refused
		}
		if slices.Contains(u.AttachedPolicies, arn) {
			return "", nil
		}
		if len(u.AttachedPolicies) >= maxUserPolicies {
			return "", limitExceeded("PoliciesPerUser", maxUserPolicies)
		}
		u.AttachedPolicies = append(u.AttachedPolicies, arn)
		return "attached " + arn, nil
	})
}

func detachUserPolicy(c *call) (any, *apiError) {
	return changeUser(c, func(_ string, u *User) (string, *apiError) {
		arn := c.text("PolicyArn")
		at := slices.Index(u.AttachedPolicies, arn)
		if at < 0 {
			return "", noSuchEntity("Policy " + arn + " was not found.")
		}
		u.AttachedPolicies = slices.Delete(u.AttachedPolicies, at, at+1)
		return "detached " + arn, nil
	})
}

func listAttachedUserPolicies(c *call) (any, *apiError) {
	_, u, refused := c.userIn(c.view())
	if refused != nil {
		return nil, refused
	}
	type attached struct{ PolicyName, PolicyArn string }
	var all []any
	for _, arn := range u.AttachedPolicies {
		path := arn[strings.Index(arn, ":policy/")+len(":policy"):]
		if strings.HasPrefix(path, c.text("PathPrefix")) {
			all = append(all, attached{path[strings.LastIndex(path, "/")+1:], arn})
		}
	}
	return page(c, "AttachedPolicies", all), nil
}

func putUserPolicy(c *call) (any, *apiError) {
	return changeUser(c, func(_ string, u *User) (string, *apiError) {
		name, document := c.text("PolicyName"), c.text("PolicyDocument")
		if _, err := c.sim.identityPolicy(document); err != nil {
			return "", refuse(http.StatusBadRequest, "MalformedPolicyDocument", "Syntax errors in policy: "+err.Error())
		}
		if u.InlinePolicies[name] == document {
			return "", nil
		}
		put(&u.InlinePolicies, name, document)
		total := 0
		for _, text := range u.InlinePolicies {
			total += nonBlank(text)
		}
		if total > maxInlineCharacters {
			return "", limitExceeded("MaxInlinePolicySize of user", maxInlineCharacters)
		}
		return "put inline policy " + name, nil
	})
}

func nonBlank(text string) int {
	n := 0
	for _, r := range text {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}

func deleteUserPolicy(c *call) (any, *apiError) {
	return changeUser(c, func(_ string, u *User) (string, *apiError) {
		name := c.text("PolicyName")
		if _, ok := u.InlinePolicies[name]; !ok {
			return "", noSuchEntity("The user policy with name " + name + " cannot be found.")
		}
		delete(u.InlinePolicies, name)
		return "deleted inline policy " + name, nil
	})
}

func needsBoundary(c *call) []question {
	return []question{{
		action: c.service + ":" + c.name, resource: onUser(c),
		context: map[string][]string{"iam:permissionsboundary": {c.text("PermissionsBoundary")}},
	}}
}

func putUserPermissionsBoundary(c *call) (any, *apiError) {
	return changeUser(c, func(_ string, u *User) (string, *apiError) {
		arn := c.text("PermissionsBoundary")
		if refused := c.attachable(c.account(), arn); refused != nil {
			return "", refused
		}
		u.PermissionsBoundary = arn
		return "set permissions boundary " + arn, nil
	})
}

func deleteUserPermissionsBoundary(c *call) (any, *apiError) {
	return changeUser(c, func(name string, u *User) (string, *apiError) {
		if u.PermissionsBoundary == "" {
			return "", noSuchEntity("The user with name " + name + " has no permissions boundary.")
		}
		u.PermissionsBoundary = ""
		return "deleted permissions boundary", nil
	})
}

// userList returns an operation that lists something of a user.
func userList(name, element string, members func(name string, u User) []any) operation {
	return operation{service: "iam", name: name, needs: on(onUser), do: func(c *call) (any, *apiError) {
		user, u, refused := c.userIn(c.view())
		if refused != nil {
			return nil, refused
		}
		return page(c, element, members(user, u)), nil
	}}
}

// pageXML is one page of an IAM list.
type pageXML struct {
	List        listXML
	IsTruncated bool
	Marker      string `xml:",omitempty"`
}

type listXML struct {
	XMLName xml.Name
	Members []any `xml:"member"`
}

// page returns the page of a list that the call asks for. The marker is the index of the page's first element.
func page(c *call, element string, all []any) pageXML {
	start, _ := strconv.Atoi(c.text("Marker")) // an unknown marker starts at the beginning
	start = min(max(start, 0), len(all))
	size := c.number("MaxItems", 100)
	if short := c.view().Quirks.ShortPages; short && c.has("Marker") {
		size = 1
	} else if short {
		size = 0
	}
	end := min(start+size, len(all))
	out := pageXML{List: listXML{XMLName: xml.Name{Local: element}, Members: all[start:end]}, IsTruncated: end < len(all)}
	if out.IsTruncated {
		out.Marker = strconv.Itoa(end)
	}
	return out
}

func anys[T any](list []T) []any {
	out := make([]any, len(list))
	for i, v := range list {
		out[i] = v
	}
	return out
}

func itoa(n int) string { return strconv.Itoa(n) }
