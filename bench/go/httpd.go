// httpd.go - the twin of examples/httpd.c: a folder's files by HTTP/1.1.
//
//	httpd PORT FOLDER
package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: httpd PORT FOLDER")
		os.Exit(2)
	}
	err := http.ListenAndServe("127.0.0.1:"+os.Args[1], http.FileServer(http.Dir(os.Args[2])))
	fmt.Fprintln(os.Stderr, "httpd:", err)
	os.Exit(1)
}
