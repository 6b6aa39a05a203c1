# What a package's Makefile uses of OpenWrt's rules.mk.
INCLUDE_DIR:=$(TOPDIR)/include
CP:=cp -fpR
STRIP:=false
RSTRIP:=false
