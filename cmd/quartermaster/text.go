package main

import (
	"fmt"

	"quartermaster/internal/provision"
)

// freeText returns the free text of an option without the white space around it, and an error when it breaks the rule for free text.
func freeText(option, text string, most int) (string, error) {
	text = provision.CleanText(text)
	if fault := provision.TextFault(text, most); fault != "" {
		return "", fmt.Errorf("%s %s", option, fault)
	}
	return text, nil
}
