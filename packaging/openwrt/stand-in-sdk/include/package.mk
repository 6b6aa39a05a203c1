# Stands in for OpenWrt's include/package.mk and package-pack.mk in tests: takes a package's source from $(DL_DIR) by
# its hash, unpacks it, installs it into $(OUT)/root, strips it, and writes down what it says of itself.
PKG_BUILD_DIR?=$(OUT)/build/$(PKG_NAME)-$(PKG_VERSION)

define BuildPackage
$(eval $(Package/$(1)))
all:
	echo '$(PKG_HASH)  $(DL_DIR)/$(PKG_SOURCE)' | sha256sum -c - >/dev/null
	mkdir -p $(dir $(PKG_BUILD_DIR)) $(OUT)/root
	tar -xzf $(DL_DIR)/$(PKG_SOURCE) -C $(dir $(PKG_BUILD_DIR))
	$(call Build/Configure)
	$(call Build/Compile)
	$(call Package/$(1)/install,$(OUT)/root)
	$$(RSTRIP) $(OUT)/root
	$$(file >$(OUT)/version,$(PKG_VERSION)-r$(PKG_RELEASE))
	$$(file >$(OUT)/depends,$(DEPENDS))
	$$(file >$(OUT)/user,$(USERID))
	$$(file >$(OUT)/section,$(SECTION))
	$$(file >$(OUT)/license,$(PKG_LICENSE))
	$$(file >$(OUT)/url,$(PKG_SOURCE_URL))
	$$(file >$(OUT)/description,$$(Package/$(1)/description))
	$$(file >$(OUT)/conffiles,$$(Package/$(1)/conffiles))
	$$(file >$(OUT)/prerm,$$(Package/$(1)/prerm))
endef
