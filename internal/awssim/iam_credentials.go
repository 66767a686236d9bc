package awssim

import (
	"net/http"
	"slices"
	"strings"
	"time"
)

var iamCredentialOperations = []operation{
	{service: "iam", name: "CreateLoginProfile", mutates: true, needs: on(onUser), do: createLoginProfile},
	{service: "iam", name: "GetLoginProfile", needs: on(onUser), do: getLoginProfile},
	{service: "iam", name: "UpdateLoginProfile", mutates: true, needs: on(onUser), do: updateLoginProfile},
	{service: "iam", name: "DeleteLoginProfile", mutates: true, needs: on(onUser), do: deleteLoginProfile},

	{service: "iam", name: "CreateAccessKey", mutates: true, needs: on(onUser), do: createAccessKey},
	userList("ListAccessKeys", "AccessKeyMetadata", func(name string, u User) []any {
		type key struct {
			UserName           string
			AccessKeyID        string `xml:"AccessKeyId"`
			Status, CreateDate string
		}
		return each(u.AccessKeys, func(id string) any { return key{name, id, "Active", timestamp(u.Created)} })
	}),
	userRemoval("DeleteAccessKey", "AccessKeyId", "access key", func(u *User) *[]string { return &u.AccessKeys }),

	userList("ListSigningCertificates", "Certificates", func(name string, u User) []any {
		type certificate struct {
			UserName                            string
			CertificateID                       string `xml:"CertificateId"`
			CertificateBody, Status, UploadDate string
		}
		return each(u.SigningCertificates, func(id string) any {
			return certificate{name, id, "-----BEGIN CERTIFICATE-----", "Active", timestamp(u.Created)}
		})
	}),
	userRemoval("DeleteSigningCertificate", "CertificateId", "signing certificate", func(u *User) *[]string {
		return &u.SigningCertificates
	}),

	userList("ListSSHPublicKeys", "SSHPublicKeys", func(name string, u User) []any {
		type key struct {
			UserName           string
			SSHPublicKeyID     string `xml:"SSHPublicKeyId"`
			Status, UploadDate string
		}
		return each(u.SSHPublicKeys, func(id string) any { return key{name, id, "Active", timestamp(u.Created)} })
	}),
	userRemoval("DeleteSSHPublicKey", "SSHPublicKeyId", "SSH public key", func(u *User) *[]string { return &u.SSHPublicKeys }),

	userList("ListServiceSpecificCredentials", "ServiceSpecificCredentials", func(name string, u User) []any {
		type credential struct {
			UserName, Status, ServiceUserName, CreateDate string
			ServiceSpecificCredentialID                   string `xml:"ServiceSpecificCredentialId"`
			ServiceName                                   string
		}
		return each(u.ServiceCredentials, func(id string) any {
			return credential{name, "Active", name + "-at-service", timestamp(u.Created), id, "codecommit.amazonaws.com"}
		})
	}),
	userRemoval("DeleteServiceSpecificCredential", "ServiceSpecificCredentialId", "service credential",
		func(u *User) *[]string { return &u.ServiceCredentials }),

	userList("ListMFADevices", "MFADevices", func(name string, u User) []any {
		type device struct{ UserName, SerialNumber, EnableDate string }
		return each(u.MFADevices, func(serial string) any { return device{name, serial, timestamp(u.Created)} })
	}),
	{service: "iam", name: "DeactivateMFADevice", mutates: true, needs: on(onUser), do: deactivateMFADevice},
	{service: "iam", name: "ListVirtualMFADevices", needs: on(anyResource), do: listVirtualMFADevices},
	{service: "iam", name: "DeleteVirtualMFADevice", mutates: true, needs: on(func(c *call) string { return c.text("SerialNumber") }),
		do: deleteVirtualMFADevice},

	userList("ListGroupsForUser", "Groups", func(_ string, u User) []any {
		type group struct {
			Path, GroupName string
			GroupID         string `xml:"GroupId"`
			Arn, CreateDate string
		}
		return each(u.Groups, func(name string) any {
			// Clients use only the name of a group, not its id or ARN.
			return group{"/", name, "AGPA" + strings.ToUpper(name), "arn:aws:iam:::group/" + name, timestamp(u.Created)}
		})
	}),
	{service: "iam", name: "RemoveUserFromGroup", mutates: true, needs: on(func(c *call) string {
		return "arn:aws:iam::" + c.accountID + ":group/" + c.text("GroupName")
	}), do: removeUserFromGroup},
}

func each(ids []string, f func(string) any) []any {
	out := make([]any, len(ids))
	for i, id := range ids {
		out[i] = f(id)
	}
	return out
}

// userRemoval returns an operation that removes an element from one of a user's lists.
func userRemoval(name, member, noun string, list func(*User) *[]string) operation {
	return operation{service: "iam", name: name, mutates: true, needs: on(onUser), do: func(c *call) (any, *apiError) {
		return changeUser(c, func(_ string, u *User) (string, *apiError) {
			id, all := c.text(member), list(u)
			at := slices.Index(*all, id)
			if at < 0 {
				return "", noSuchEntity("The " + noun + " with id " + id + " cannot be found.")
			}
			*all = slices.Delete(*all, at, at+1)
			return "deleted " + noun + " " + id, nil
		})
	}}
}

type loginProfileXML struct {
	UserName              string
	CreateDate            string
	PasswordResetRequired bool
}

type loginProfileResult struct{ LoginProfile loginProfileXML }

func noLoginProfile(user string) *apiError {
	return noSuchEntity("Login Profile for User " + user + " cannot be found.")
}

func createLoginProfile(c *call) (any, *apiError) {
	var out loginProfileResult
	_, refused := changeUser(c, func(name string, u *User) (string, *apiError) {
		if u.LoginProfile != nil {
			return "", alreadyExists("Login Profile for user " + name + " already exists.")
		}
		if refused := c.checkPassword(name); refused != nil {
			return "", refused
		}
		profile := LoginProfile{
			PasswordSHA256: HashPassword(c.text("Password")), ResetRequired: c.flag("PasswordResetRequired", false),
			Created: c.sim.now().Truncate(time.Second),
		}
		u.LoginProfile = &profile
		out.LoginProfile = loginProfileXML{name, timestamp(profile.Created), profile.ResetRequired}
		return "created login profile", nil
	})
	if refused != nil {
		return nil, refused
	}
	return out, nil
}

func getLoginProfile(c *call) (any, *apiError) {
	name, u, refused := c.userIn(c.view())
	if refused != nil {
		return nil, refused
	}
	if u.LoginProfile == nil {
		return nil, noLoginProfile(name)
	}
	return loginProfileResult{loginProfileXML{name, timestamp(u.LoginProfile.Created), u.LoginProfile.ResetRequired}}, nil
}

// settled refuses to change a login profile that reads do not show yet, as IAM does.
func (c *call) settled(name string, u *User) *apiError {
	if u.LoginProfile == nil {
		return noLoginProfile(name)
	}
	if _, seen, ok := c.view().user(name); !ok || seen.LoginProfile == nil {
		return refuse(http.StatusConflict, "EntityTemporarilyUnmodifiable",
			"Login Profile for User "+name+" cannot be modified while login profile is being created.")
	}
	return nil
}

func updateLoginProfile(c *call) (any, *apiError) {
	return changeUser(c, func(name string, u *User) (string, *apiError) {
		if refused := c.settled(name, u); refused != nil {
			return "", refused
		}
		profile := *u.LoginProfile
		if c.has("Password") {
			if refused := c.checkPassword(name); refused != nil {
				return "", refused
			}
			profile.PasswordSHA256 = HashPassword(c.text("Password"))
		}
		profile.ResetRequired = c.flag("PasswordResetRequired", profile.ResetRequired)
		if profile == *u.LoginProfile {
			return "", nil
		}
		u.LoginProfile = &profile
		return "updated login profile", nil
	})
}

func deleteLoginProfile(c *call) (any, *apiError) {
	return changeUser(c, func(name string, u *User) (string, *apiError) {
		if refused := c.settled(name, u); refused != nil {
			return "", refused
		}
		u.LoginProfile = nil
		return "deleted login profile", nil
	})
}

// passwordSymbols are the characters that IAM counts as symbols.
const passwordSymbols = "!@#$%^&*()_+-=[]{}|'"

// checkPassword applies the account's password policy, or AWS's default one: at least 8 characters from three of the four classes, and
// not the account's name or e-mail address.
func (c *call) checkPassword(user string) *apiError {
	password, account := c.text("Password"), c.account()
	violated := func(rule string) *apiError {
		return refuse(http.StatusBadRequest, "PasswordPolicyViolation", "Password should "+rule)
	}
	upper := strings.ContainsFunc(password, func(r rune) bool { return r >= 'A' && r <= 'Z' })
	lower := strings.ContainsFunc(password, func(r rune) bool { return r >= 'a' && r <= 'z' })
	number := strings.ContainsFunc(password, func(r rune) bool { return r >= '0' && r <= '9' })
	symbol := strings.ContainsAny(password, passwordSymbols)
	policy := account.PasswordPolicy
	if policy == nil {
		classes := 0
		for _, has := range []bool{upper, lower, number, symbol} {
			if has {
				classes++
			}
		}
		switch {
		case len(password) < 8:
			return violated("have a minimum length of 8")
		case classes < 3:
			return violated("have at least three of uppercase letters, lowercase letters, numbers and symbols")
		case strings.EqualFold(password, account.Name) || strings.EqualFold(password, account.Email):
			return violated("not be the account's name or e-mail address")
		}
		return nil
	}
	switch {
	case len(password) < policy.MinimumPasswordLength:
		return violated("have a minimum length of " + itoa(policy.MinimumPasswordLength))
	case policy.RequireUppercaseCharacters && !upper:
		return violated("have at least one uppercase letter")
	case policy.RequireLowercaseCharacters && !lower:
		return violated("have at least one lowercase letter")
	case policy.RequireNumbers && !number:
		return violated("have at least one number")
	case policy.RequireSymbols && !symbol:
		return violated("have at least one symbol")
	case strings.EqualFold(password, user):
		return violated("not be the user's name")
	}
	return nil
}

func createAccessKey(c *call) (any, *apiError) {
	type accessKey struct {
		UserName                            string
		AccessKeyID                         string `xml:"AccessKeyId"`
		Status, SecretAccessKey, CreateDate string
	}
	var out struct{ AccessKey accessKey }
	_, refused := changeUser(c, func(name string, u *User) (string, *apiError) {
		if len(u.AccessKeys) >= maxAccessKeys {
			return "", limitExceeded("AccessKeysPerUser", maxAccessKeys)
		}
		id := c.sim.id("AKIA", 16)
		u.AccessKeys = append(u.AccessKeys, id)
		out.AccessKey = accessKey{name, id, "Active", c.sim.id("", 40), timestamp(c.sim.now())}
		return "created access key " + id, nil
	})
	if refused != nil {
		return nil, refused
	}
	return out, nil
}

func deactivateMFADevice(c *call) (any, *apiError) {
	return changeUser(c, func(name string, u *User) (string, *apiError) {
		serial := c.text("SerialNumber")
		at := slices.Index(u.MFADevices, serial)
		if at < 0 {
			return "", noSuchEntity("MFA Device invalid for user.")
		}
		u.MFADevices = slices.Delete(u.MFADevices, at, at+1)
		if draft := c.draft(c.accountID); draft.VirtualMFADevices[serial] == name {
			draft.VirtualMFADevices[serial] = ""
		}
		return "deactivated MFA device " + serial, nil
	})
}

func listVirtualMFADevices(c *call) (any, *apiError) {
	type owner struct {
		UserName, Path  string
		UserID          string `xml:"UserId"`
		Arn, CreateDate string
	}
	type device struct {
		SerialNumber string
		User         *owner `xml:",omitempty"`
	}
	view, status := c.view(), c.text("AssignmentStatus")
	var all []any
	for _, serial := range keys(view.VirtualMFADevices) {
		name := view.VirtualMFADevices[serial]
		if status == "Assigned" && name == "" || status == "Unassigned" && name != "" {
			continue
		}
		d := device{SerialNumber: serial}
		if u, ok := view.Users[name]; ok {
			d.User = &owner{name, u.Path, u.ID, userARN(c.accountID, u.Path, name), timestamp(u.Created)}
		}
		all = append(all, d)
	}
	return page(c, "VirtualMFADevices", all), nil
}

func deleteVirtualMFADevice(c *call) (any, *apiError) {
	draft, serial := c.draft(c.accountID), c.text("SerialNumber")
	user, ok := draft.VirtualMFADevices[serial]
	if !ok {
		return nil, noSuchEntity("VirtualMFADevice with serial number " + serial + " does not exist.")
	}
	if user != "" {
		return nil, refuse(http.StatusConflict, "DeleteConflict", "MFA VirtualDevice in use. Must deactivate first.")
	}
	delete(draft.VirtualMFADevices, serial)
	c.effect("mfa/"+serial, "deleted")
	return nil, nil
}

func removeUserFromGroup(c *call) (any, *apiError) {
	return changeUser(c, func(_ string, u *User) (string, *apiError) {
		group := c.text("GroupName")
		at := slices.Index(u.Groups, group)
		if at < 0 {
			return "", noSuchEntity("The group with name " + group + " cannot be found.")
		}
		u.Groups = slices.Delete(u.Groups, at, at+1)
		return "removed from group " + group, nil
	})
}
