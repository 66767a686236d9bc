package awssim_test

import (
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

const (
	changePassword = "arn:aws:iam::aws:policy/IAMUserChangePassword"
	readOnly       = "arn:aws:iam::aws:policy/ReadOnlyAccess"
)

var name = aws.String(userName)

func createUserInput(user string) *iam.CreateUserInput {
	return &iam.CreateUserInput{
		UserName: aws.String(user), Path: aws.String("/marketplace/"),
		Tags: []iamtypes.Tag{{Key: aws.String("mp:order-id"), Value: aws.String("ord-1")}},
	}
}

func loginInput() *iam.CreateLoginProfileInput {
	return &iam.CreateLoginProfileInput{UserName: name, Password: aws.String(password), PasswordResetRequired: true}
}
