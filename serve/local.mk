# SPDX-License-Identifier: LGPL-2.1-or-later
# Images as files and as NBD exports: public headers only.

noinst_LTLIBRARIES += %D%/libserve.la

%C%_libserve_la_CPPFLAGS = \
	$(public_CPPFLAGS) \
	-DNBDKIT_PLUGIN='"$(nbdkitplugindir)/nbdkit-platter-plugin.so"' \
	$(FUSE_CFLAGS)
%C%_libserve_la_LIBADD = lib/libplatter.la $(FUSE_LIBS)
%C%_libserve_la_SOURCES = \
	%D%/disk.c \
	%D%/nbdkit.c \
	%D%/serve.h \
	%D%/session-client.c \
	%D%/session.c \
	%D%/session.h \
	%D%/states-copy-file.c \
	%D%/states-copy-put.c \
	%D%/states-copy.c \
	%D%/states-copy.h \
	%D%/states-nbd.c \
	%D%/states.c \
	%D%/states.h

if HAVE_FUSE
%C%_libserve_la_SOURCES += \
	%D%/fuse-files.c \
	%D%/fuse-io.c \
	%D%/fuse-mount.c \
	%D%/fuse-ops.c \
	%D%/fuse-ops.h \
	%D%/fuse-report.c \
	%D%/fuse-states.c \
	%D%/fuse-umount.c \
	%D%/fuse.c \
	%D%/fuse.h \
	%D%/states-fuse.c
else
%C%_libserve_la_SOURCES += %D%/fuse-none.c
endif

if HAVE_NBDKIT
nbdkitplugin_LTLIBRARIES = %D%/nbdkit-platter-plugin.la
%C%_nbdkit_platter_plugin_la_CPPFLAGS = $(public_CPPFLAGS) $(NBDKIT_CFLAGS)
%C%_nbdkit_platter_plugin_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version \
	-shared -export-symbols-regex '^plugin_init$$' \
	-Wl,-z,undefs -Wl,-z,nodelete
%C%_nbdkit_platter_plugin_la_LIBADD = %D%/libserve.la
%C%_nbdkit_platter_plugin_la_SOURCES = \
	%D%/plugin-config.c \
	%D%/plugin-parent.c \
	%D%/plugin.c \
	%D%/plugin.h
endif
